package auditor

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// lost is what is known of the decisions whose messages a hole has swallowed.
type lost struct {
	*audit

	items  map[int64]*ledger.ItemRow // by position
	owned  map[code.ID]bool          // codes that own an item
	issued map[code.ID]wire.Attempt  // checkouts that gave the codes
	spare  int                       // items that are sold, by the cursor, and have no row; negative: rows too many
	stamps []stamp                   // of the lost commits
}

// lostDecisions returns the rows of the lost decisions, up to a position.
func (a *audit) lostDecisions(upTo int64) (rows []allocation.Decision, err error) {
	for a.haveDecision && a.decision.Position <= upTo {
		rows = append(rows, a.decision)
		if err := a.advanceDecision(); err != nil {
			return nil, err
		}
	}
	a.report.Unproved += int64(len(rows))
	for i := range rows {
		if rows[i].Reason == allocation.Granted {
			a.report.UnprovedSold++
		}
	}
	return rows, nil
}

// crossDecisions takes the lost decisions from the ledger. It reports where
// their rows disagree with those of items, with the attempts that gave the
// codes, with the times of the commits, or with the rules, and returns what the
// others say. The engine has decided that afterwards.
func (a *audit) crossDecisions(rows []allocation.Decision, stamps []stamp) (decided []allocation.Decision, err error) {
	l := lost{audit: a, stamps: stamps}
	if len(stamps) > 0 {
		l.findItems(a.engine.Cursor().Position+1, stamps[len(stamps)-1].upTo)
	}
	if err := l.findIssued(rows); err != nil {
		return nil, err
	}
	for _, row := range l.addMissing(rows) {
		d, ok, err := l.cross(row)
		if err != nil {
			return nil, err
		}
		if ok {
			decided = append(decided, d)
		}
	}
	return decided, nil
}

// findItems looks which items were sold in the hole.
func (l *lost) findItems(first, last int64) {
	l.items, l.owned = map[int64]*ledger.ItemRow{}, map[code.ID]bool{}
	for i := range l.snapshot.Items {
		row := &l.snapshot.Items[i]
		l.owned[row.Code] = true
		if _, before := l.owners[row.Item]; !before && row.Position >= first && row.Position <= last {
			l.items[row.Position] = row
		}
	}
	l.spare = l.snapshot.Position.Cursor.Sold - len(l.snapshot.Items)
}

// findIssued looks for the checkouts that gave the codes. One may be missing:
// the stream of attempts may have lost its tail, too. Where the ledger has
// another attempt than the stream, neither is believed.
func (l *lost) findIssued(rows []allocation.Decision) error {
	wanted := map[code.ID]bool{}
	for i := range rows {
		wanted[rows[i].Code] = true
	}
	for _, row := range l.items {
		wanted[row.Code] = true
	}
	delete(wanted, code.ID{})
	l.issued = map[code.ID]wire.Attempt{}
	if len(wanted) == 0 {
		return nil
	}
	stored := map[sale.UUID]ledger.RecordedAttempt{}
	c := comparison{audit: l.audit}
	_, err := c.each(l.ctx, 1, math.MaxUint64, func(_ uint64, r ledger.RecordedAttempt) {
		if _, twice := stored[r.ID]; !twice && r.Outcome == wire.Issued && wanted[r.Code] {
			stored[r.ID], l.issued[r.Code] = r, r.Attempt
		}
	})
	if err != nil {
		return err
	}
	for row, err := range l.books.Attempts(l.ctx, l.id) {
		if err != nil {
			return err
		}
		if s, known := stored[row.ID]; known && s != row {
			delete(l.issued, s.Code)
		}
	}
	return nil
}

// addMissing adds the decisions of which only the items are left.
func (l *lost) addMissing(rows []allocation.Decision) []allocation.Decision {
	there := map[int64]bool{}
	for i := range rows {
		there[rows[i].Position] = true
	}
	for position, row := range l.items {
		if there[position] || l.spare < 0 {
			continue
		}
		l.report.add(Finding{Kind: Missing, Table: "decisions", Row: fmt.Sprint(position), Position: position})
		rows = append(rows, allocation.Decision{
			Position: position, Code: row.Code, Item: row.Item, User: row.User, Reason: allocation.Granted, At: row.SoldAt,
		})
	}
	slices.SortFunc(rows, func(x, y allocation.Decision) int { return int(x.Position - y.Position) })
	return rows
}

// cross lets the engine decide what a row says was asked, and returns what it
// decided. False: the row stands for no request.
func (l *lost) cross(row allocation.Decision) (d allocation.Decision, ok bool, err error) {
	at := Finding{Table: "decisions", Row: fmt.Sprint(row.Position), Position: row.Position}
	if reached := l.engine.Cursor().Position; row.Position <= reached {
		at.Kind, at.Field, at.Ledger, at.Stream = Impossible, "position", fmt.Sprint(row.Position), fmt.Sprintf("%d before the hole", reached)
		l.report.add(at)
		return d, false, nil
	}
	row.At = l.settleAt(at, &row)
	expires, known := l.settleClaims(at, &row)
	if !l.whole(at, &row) && row.Reason != allocation.Granted {
		return d, false, nil // a refusal changes nothing for the others
	}
	if l.grantable(&row, expires) && l.spare <= 0 && l.items[row.Position] == nil && !l.owned[row.Code] {
		if known || row.Reason == allocation.Granted {
			at.Kind = Unfounded
			l.report.add(at)
			return d, false, nil
		}
		expires = row.At - 1 // nothing else can have refused it
	}
	d, repeat, err := l.decide(&row, expires)
	if err != nil {
		return d, false, err
	}
	if repeat {
		at.Kind, at.Field, at.Ledger, at.Stream = Impossible, "code_id", row.Code.String(), "an earlier decision for it"
		l.report.add(at)
		return d, false, nil
	}
	compare(l.report, at, "reason", row.Reason, d.Reason)
	compare(l.report, at, "decided_at", row.At, d.At)
	if d.Reason == allocation.Granted {
		l.owners[d.Item] = d
	}
	return d, true, nil
}

// decide puts a request to the engine, in a pack of its own.
func (l *lost) decide(row *allocation.Decision, expires sale.Instant) (d allocation.Decision, repeat bool, err error) {
	c := l.engine.Cursor()
	c.Position = row.Position - 1
	if err := l.engine.Extend(c, each(nil)); err != nil {
		return d, false, err
	}
	b := l.engine.Begin()
	l.engine.Apply(allocation.Pack{Sequence: c.Sequence + 1, Time: row.At, Requests: []allocation.Request{{
		Code: row.Code, Item: row.Item, User: row.User, Expires: expires,
	}}}, b)
	if len(b.Decisions) == 0 {
		return d, true, nil
	}
	return b.Decisions[0], false, nil
}

// grantable reports whether the engine would grant a request as things stand.
func (l *lost) grantable(d *allocation.Decision, expires sale.Instant) bool {
	_, taken := l.owners[d.Item]
	if d.Code.IsZero() || taken || expires < d.At || !l.opening.Sale.Contains(d.Item) || len(l.owners) >= l.opening.Sale.Stock {
		return false
	}
	grants := 0
	for _, o := range l.owners {
		if o.Code == d.Code {
			return false
		}
		if o.User == d.User {
			grants++
		}
	}
	return grants < l.opening.Sale.UserLimit
}

// settleClaims corrects what a row says of its code by the checkout that gave
// it, if that is known, and returns when the code expired. Without the checkout,
// the reason has the word on that.
func (l *lost) settleClaims(at Finding, d *allocation.Decision) (expires sale.Instant, known bool) {
	attempt, known := l.issued[d.Code]
	if row := l.items[d.Position]; !known && row != nil && row.Code != d.Code {
		if attempt, known = l.issued[row.Code]; known {
			compare(l.report, at, "code_id", d.Code, row.Code)
			d.Code = row.Code
		}
	}
	switch {
	case known:
		compare(l.report, at, "item_id", d.Item.String(), attempt.Item)
		compare(l.report, at, "user_id", string(d.User), attempt.User)
		if item, err := strconv.ParseInt(attempt.Item, 10, 64); err == nil {
			d.Item = sale.ItemID(item)
		}
		d.User = sale.UserID(attempt.User)
		return attempt.Expires, true
	case d.Reason == allocation.CodeExpired:
		return d.At - 1, false
	}
	return math.MaxInt64, false
}

// whole reports whether a row has all of a request or nothing: one that was read
// has code, item and user, one that was not has none of them. Else the one that
// is unlike the two others is wrong.
func (l *lost) whole(at Finding, d *allocation.Decision) bool {
	has := map[string]bool{"code_id": !d.Code.IsZero(), "item_id": d.Item != 0, "user_id": d.User != ""}
	most := (has["code_id"] && has["item_id"]) || (has["code_id"] && has["user_id"]) || (has["item_id"] && has["user_id"])
	whole := true
	for _, field := range []string{"code_id", "item_id", "user_id"} {
		if has[field] != most {
			whole = false
			at.Kind, at.Field, at.Ledger, at.Stream = Differs, field, "unlike the other two", "all three of a request, or none"
			l.report.add(at)
		}
	}
	return whole
}

// settleAt returns when a row was decided. A pack of its commit says so; where
// none does, the item may confirm the row, else it is wrong.
func (l *lost) settleAt(at Finding, d *allocation.Decision) sale.Instant {
	i := slices.IndexFunc(l.stamps, func(s stamp) bool { return s.upTo >= d.Position })
	if i < 0 || len(l.stamps[i].times) == 0 || slices.Contains(l.stamps[i].times, d.At) {
		return d.At
	}
	s := &l.stamps[i]
	nearest := slices.MinFunc(s.times, func(x, y sale.Instant) int { return int(max(x-d.At, d.At-x) - max(y-d.At, d.At-y)) })
	row := l.items[d.Position]
	if row != nil && row.SoldAt == d.At {
		compare(l.report, s.row, "packs", nearest, d.At)
		s.times = nil
		return d.At
	}
	if row != nil && slices.Contains(s.times, row.SoldAt) {
		nearest = row.SoldAt
	}
	compare(l.report, at, "decided_at", d.At, nearest)
	return nearest
}
