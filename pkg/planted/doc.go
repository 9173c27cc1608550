// Package planted names bugs that can be built in, to see that they are caught.
//
// Purpose: a check that has never failed proves nothing. Each bug is one that
// this system must not have and that somebody could write; its build tag puts
// it into the code that runs in production, and the check that is there to find
// it has to fail.
//
//	go test -tags planted_fence_skipped ./pkg/ledger
//
// Authority: none. Code asks
//
//	if planted.Bug == planted.FenceSkipped {
//
// and the compiler leaves the branch out of every build without the tag.
//
// Invariants: without a tag Bug is empty; two of the tags do not build. The
// package imports nothing, so that everything may import it.
package planted
