//go:build race

package effort

// Race says that the race detector is on, which makes all ten times slower, and
// finds nothing where one goroutine runs at a time.
const Race = true
