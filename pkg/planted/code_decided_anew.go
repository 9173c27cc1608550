//go:build planted_code_decided_anew

package planted

// The name of the bug that this build has.
const Bug = CodeDecidedAnew
