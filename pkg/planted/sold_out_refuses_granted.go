//go:build planted_sold_out_refuses_granted

package planted

// The name of the bug that this build has.
const Bug = SoldOutRefusesGranted
