//go:build planted_fence_skipped

package planted

// The name of the bug that this build has.
const Bug = FenceSkipped
