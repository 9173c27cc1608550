//go:build planted_pack_index_ignored

package planted

// The name of the bug that this build has.
const Bug = PackIndexIgnored
