//go:build !planted_fence_skipped && !planted_reply_before_commit && !planted_cache_before_ledger && !planted_wall_clock && !planted_limit_off_by_one && !planted_tail_check_skipped && !planted_sold_out_refuses_granted && !planted_cache_key_without_uuid && !planted_checkout_before_ack && !planted_timeout_is_refusal && !planted_code_decided_anew && !planted_pack_index_ignored && !planted_two_transactions && !planted_standby_after_cursor && !planted_attempt_twice

package planted

// The name of the bug that this build has; empty: none.
const Bug = ""
