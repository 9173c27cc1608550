//go:build planted_standby_after_cursor

package planted

// The name of the bug that this build has.
const Bug = StandbyAfterCursor
