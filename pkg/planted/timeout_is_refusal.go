//go:build planted_timeout_is_refusal

package planted

// The name of the bug that this build has.
const Bug = TimeoutIsRefusal
