//go:build !planted

package planted

// The name of the bug that this process has; empty: none.
const Bug = ""
