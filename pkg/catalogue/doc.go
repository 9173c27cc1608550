// Package catalogue gives the items of a sale their names and pictures.
//
// Purpose: 10,000 and more items, each with a name and a picture of its own,
// from one number.
//
// Authority: the catalogue is a pure function of the seed in the sale's opening
// record, so it is stored nowhere and is the same on every edge and in every
// replay.
//
// Invariants: within one sale no two items share a name or a picture. Names and
// pictures are for ever: they do not change from version to version.
//
// Failure behaviour: an item that is not of the sale is a programming error and
// panics. The package does no I/O and reads no clock.
package catalogue
