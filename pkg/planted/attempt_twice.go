//go:build planted_attempt_twice

package planted

// The name of the bug that this build has.
const Bug = AttemptTwice
