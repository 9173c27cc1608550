//go:build planted_tail_check_skipped

package planted

// The name of the bug that this build has.
const Bug = TailCheckSkipped
