package allocation

// SecondRules is a version of the rules that only tests have: the limit comes
// before the stock, and a pack is decided at its own timestamp.
var SecondRules = addRules(1_000_002, rulebook{clock: ownTime, judge: judgeLimitFirst})

func addRules(version int, rules rulebook) int {
	rulebooks[version] = rules
	return version
}

func judgeLimitFirst(e *Engine, r *Request) Reason {
	if e.sale.Contains(r.Item) && e.cursor.Now <= r.Expires && e.atLimit(r.User) {
		return LimitReached
	}
	return judge1(e, r)
}
