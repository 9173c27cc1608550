//go:build !race

package archive

// raceEnabled: everything is many times slower.
const raceEnabled = false
