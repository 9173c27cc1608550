package crash

// Points lists the names that At is called with.
func Points() []string {
	return []string{
		"allocator/before-renew",
		"allocator/after-renew",
		"allocator/before-take",
		"allocator/after-take", // at least one lease
		"allocator/before-read-ledger",
		"allocator/after-read-ledger",
		"allocator/before-read-stream",
		"allocator/after-read-stream",
		"allocator/before-compare",
		"allocator/after-compare",
		"allocator/before-open-hole",
		"allocator/after-open-hole",
		"allocator/before-open-reader",
		"allocator/after-open-reader",
		"allocator/before-restore",
		"allocator/after-restore",
		"allocator/before-commit",
		"allocator/after-commit",
		"allocator/before-learn",
		"allocator/after-learn",
		"allocator/before-reply",
		"allocator/after-reply",

		"recorder/before-insert",
		"recorder/after-insert",

		"scheduler/before-row",
		"scheduler/after-row", // that it has made
		"scheduler/between-streams",
		"scheduler/before-opening-record",
		"scheduler/after-opening-record",
		"scheduler/before-open",
		"scheduler/after-open",
		"scheduler/after-directory",
	}
}
