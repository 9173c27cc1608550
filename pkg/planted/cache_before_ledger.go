//go:build planted_cache_before_ledger

package planted

// The name of the bug that this build has.
const Bug = CacheBeforeLedger
