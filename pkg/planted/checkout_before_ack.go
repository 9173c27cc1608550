//go:build planted_checkout_before_ack

package planted

// The name of the bug that this build has.
const Bug = CheckoutBeforeAck
