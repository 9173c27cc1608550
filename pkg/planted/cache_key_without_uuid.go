//go:build planted_cache_key_without_uuid

package planted

// The name of the bug that this build has.
const Bug = CacheKeyWithoutUUID
