package planted

// The bugs.
const (
	FenceSkipped          = "fence_skipped"            // a commit checks where the cursor stands, not whose epoch it is
	ReplyBeforeCommit     = "reply_before_commit"      // shoppers are told before the ledger has it
	CacheBeforeLedger     = "cache_before_ledger"      // the cache learns facts before the ledger has them
	WallClock             = "wall_clock"               // the engine reads this machine's clock instead of the stream's
	LimitOffByOne         = "limit_off_by_one"         // a user may buy one item too many
	TailCheckSkipped      = "tail_check_skipped"       // the message at the cursor is not compared with the one that was decided
	SoldOutRefusesGranted = "sold_out_refuses_granted" // "sold out" refuses purchases without proof that their code was not granted
	CacheKeyWithoutUUID   = "cache_key_without_uuid"   // all sales share their keys in Redis
	CheckoutBeforeAck     = "checkout_before_ack"      // a checkout is answered before its attempt is stored
	TimeoutIsRefusal      = "timeout_is_refusal"       // a purchase that got no decision in time is refused
	CodeDecidedAnew       = "code_decided_anew"        // a repeated code is decided once more
	PackIndexIgnored      = "pack_index_ignored"       // every request of a pack gets the first one's reply
	TwoTransactions       = "two_transactions"         // decisions and cursor are committed one after the other
	StandbyAfterCursor    = "standby_after_cursor"     // an allocator that takes over reads on after the cursor, and never sees the message at it again
	AttemptTwice          = "attempt_twice"            // a message that is delivered again is recorded again
)

// All lists them.
func All() []string {
	return []string{
		FenceSkipped,
		ReplyBeforeCommit,
		CacheBeforeLedger,
		WallClock,
		LimitOffByOne,
		TailCheckSkipped,
		SoldOutRefusesGranted,
		CacheKeyWithoutUUID,
		CheckoutBeforeAck,
		TimeoutIsRefusal,
		CodeDecidedAnew,
		PackIndexIgnored,
		TwoTransactions,
		StandbyAfterCursor,
		AttemptTwice,
	}
}
