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

		"scheduler/before-directory",
		"scheduler/before-claim",
		"scheduler/after-claim",
		"scheduler/before-open-slot",
		"scheduler/after-open-slot", // that has made a row
		"scheduler/before-create-checkouts",
		"scheduler/after-create-checkouts",
		"scheduler/before-create-purchases",
		"scheduler/after-create-purchases",
		"scheduler/before-publish-opening",
		"scheduler/after-publish-opening",
		"scheduler/before-mark-open",
		"scheduler/after-mark-open",
		"scheduler/before-put",
		"scheduler/after-put",
	}
}
