//go:build planted_limit_off_by_one

package planted

// The name of the bug that this build has.
const Bug = LimitOffByOne
