//go:build planted_wall_clock

package planted

// The name of the bug that this build has.
const Bug = WallClock
