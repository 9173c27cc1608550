package crash

// Points lists the names that At is called with.
func Points() []string {
	return []string{
		"allocator/before-renew",
		"allocator/after-renew",
		"allocator/before-take",
		"allocator/after-take", // at least one lease
		"allocator/after-sale",
		"allocator/before-opening",
		"allocator/before-applied",
		"allocator/after-applied",
		"allocator/before-open-generation",
		"allocator/after-open-generation",
		"allocator/before-read",
		"allocator/after-read",
		"allocator/before-decision-page",
		"allocator/after-decision-page",
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
