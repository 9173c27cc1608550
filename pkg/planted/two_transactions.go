//go:build planted_two_transactions

package planted

// The name of the bug that this build has.
const Bug = TwoTransactions
