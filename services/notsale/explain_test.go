//go:build unix

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

func (f *front) decidedUpTo(t *testing.T, position int64) {
	t.Helper()
	servicetest.Eventually(t, fmt.Sprintf("all up to position %d is decided", position), func() bool {
		return f.Count(`SELECT max(position) FROM cursors`) == position
	})
}

// explainError runs the command.
func (f *front) explainError(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newExplain()
	cmd.SetArgs(append(args, f.storesFlag(t), "--log-level", "error"))
	cmd.SetOut(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// explain runs the command twice and returns the text and what it printed as
// JSON; ledger and stream must agree.
func (f *front) explain(t *testing.T, args ...string) (x auditor.Explanation, text string) {
	t.Helper()
	text, err := f.explainError(t, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	printed, err := f.explainError(t, append(args, "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(printed), &x)
	}
	if err != nil || !strings.Contains(text, "ledger and stream agree") {
		t.Fatalf("%v\n%s\n%s", err, text, printed)
	}
	return x, text
}

// explained is the body of GET /purchase.
type explained struct {
	servicetest.Problem

	LostTo struct {
		Reason   string
		Position int64
		Time     string
	} `json:"lost_to"`
}

// ask asks the edge about a code.
func (f *front) ask(t *testing.T, k edgetest.Ticket) (a servicetest.Answer, p explained) {
	t.Helper()
	a = f.Get(t, servicetest.PurchasePath(k.Text))
	edgetest.CheckCompact(t, a)
	if a.Status != http.StatusOK {
		a.Decode(t, &p)
	}
	return a, p
}

// tale is a sale of four items, two for each user, in which every reason occurs.
//
//	position 1 ann gets item 1   2 bob is too late for it   3 bob's code has expired
//	         4 ann gets item 2   5 ann has two items        6 ann asks with 1's code again
//	         7 bob gets item 3   8 dan asks for no item     9 bob gets item 4
//	        10 cid is too late for any                     11 bob asks with 2's code again
type tale struct {
	*front

	of      sale.Sale
	tickets []edgetest.Ticket // by position; repeats are the ticket that they repeat
}

func newTale(t *testing.T) *tale {
	t.Helper()
	f := newFront(t, nil)
	f.Allocate()
	w := &tale{front: f, of: f.OpenSale(4, 2)}
	w.tickets = []edgetest.Ticket{
		1: f.Sign(w.of, 1, "ann", time.Hour), 2: f.Sign(w.of, 1, "bob", time.Hour), 3: f.Sign(w.of, 3, "bob", -time.Hour),
		4: f.Sign(w.of, 2, "ann", time.Hour), 5: f.Sign(w.of, 3, "ann", time.Hour),
		7: f.Sign(w.of, 3, "bob", time.Hour), 8: f.Sign(w.of, 99, "dan", time.Hour), 9: f.Sign(w.of, 4, "bob", time.Hour),
		10: f.Sign(w.of, 1, "cid", time.Hour), 11: {},
	}
	w.tickets[6], w.tickets[11] = w.tickets[1], w.tickets[2]
	for first := 1; first < len(w.tickets); first += 4 { // several packs
		f.Enqueue(t, w.of, w.tickets[first:min(first+4, len(w.tickets))]...)
	}
	f.decidedUpTo(t, 11)
	return w
}

// fate is what became of the request at a position.
type fate struct {
	reason allocation.Reason
	lostTo int64 // position; 0: to nobody
	grants int
}

var fates = map[int]fate{
	1: {}, 2: {allocation.ItemTaken, 1, 0}, 3: {allocation.CodeExpired, 0, 0}, 4: {}, 5: {allocation.LimitReached, 4, 2},
	7: {}, 8: {allocation.Malformed, 0, 0}, 9: {}, 10: {allocation.SoldOut, 9, 4},
}

func TestExplainEveryReason(t *testing.T) {
	t.Parallel()
	w := newTale(t)
	for position, want := range fates {
		k := w.tickets[position]
		t.Run(fmt.Sprint(position, " ", want.reason), func(t *testing.T) {
			x, text := w.explain(t, "--code", k.Text)
			checkFate(t, &x, k, int64(position), want)
			if !strings.Contains(text, signatureUnchecked) || !strings.Contains(text, want.reason.String()) && want.reason != allocation.Granted {
				t.Errorf("%s", text)
			}
			byID, text := w.explain(t, "--code", k.ID.String(), "--sale", w.of.ID.String())
			checkFate(t, &byID, k, int64(position), want)
			if strings.Contains(text, "signature") {
				t.Errorf("an id has no signature: %s", text)
			}
			w.checkAnswer(t, k, int64(position), want)
		})
	}
	for position, want := range fates {
		k := w.tickets[position]
		if before, _ := w.ask(t, k); want.reason == allocation.Granted {
			post := w.Purchase(t, k.Text)
			if after, _ := w.ask(t, k); !bytes.Equal(before.Body, post.Body) || !bytes.Equal(after.Body, post.Body) || before.Status != post.Status {
				t.Errorf("GET answers %s, POST %s, GET %s", before.Body, post.Body, after.Body)
			}
		}
	}
}

func checkFate(t *testing.T, x *auditor.Explanation, k edgetest.Ticket, position int64, want fate) {
	t.Helper()
	verdict, total := auditor.Refused, int64(1)
	if want.reason == allocation.Granted {
		verdict = auditor.Granted
	}
	if position <= 2 { // asked twice
		total = 2
	}
	if x.Verdict != verdict || x.Total != total || x.Code != k.ID.String() || x.Item != k.Item || x.User != k.User || x.Waiting.Messages != 0 {
		t.Fatalf("%+v", x)
	}
	first := x.Requests[0]
	if first.Position != position || first.Decided != position || first.Reason != want.reason.String() || first.Repeat() ||
		first.Sequence < 2 || first.Edge != "edge-of-test" || first.Expires != k.Expires.String() || first.Unproved {
		t.Errorf("%+v", first)
	}
	if total == 2 {
		if again := x.Requests[1]; !again.Repeat() || again.Decided != position || again.Reason != first.Reason || again.Engine != first.Engine || again.Sequence <= first.Sequence {
			t.Errorf("the repeat: %+v", again)
		}
	}
	if want.reason == allocation.Granted || want.reason == allocation.Malformed {
		if len(x.Causes) != 0 {
			t.Errorf("causes %+v", x.Causes)
		}
		return
	}
	if len(x.Causes) != 1 {
		t.Fatalf("causes %+v", x.Causes)
	}
	checkCause(t, x.Causes[0], k, first.Engine, want)
}

func checkCause(t *testing.T, c auditor.Cause, k edgetest.Ticket, engine string, want fate) {
	t.Helper()
	switch {
	case want.reason == allocation.CodeExpired:
		if c.LostTo != nil || c.Expires != k.Expires.String() || c.Engine != engine {
			t.Errorf("cause %+v", c)
		}
	case c.LostTo == nil:
		t.Errorf("cause %+v", c)
	default:
		if c.Reason != want.reason.String() || c.LostTo.Position != want.lostTo || c.LostTo.Reason != "granted" || c.LostTo.Sequence < 2 || c.Grants != want.grants {
			t.Errorf("cause %+v, lost to %+v", c, c.LostTo)
		}
	}
}

// checkAnswer compares what the edge tells a shopper.
func (w *tale) checkAnswer(t *testing.T, k edgetest.Ticket, position int64, want fate) {
	t.Helper()
	if !w.of.Contains(k.Item) {
		return // no edge answers for a code that no edge gives
	}
	a, p := w.ask(t, k)
	if want.reason == allocation.Granted {
		if a.Status != http.StatusOK || !strings.Contains(string(a.Body), fmt.Sprintf(`"position":%d,`, position)) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		return
	}
	at := ""
	if want.lostTo != 0 {
		at = w.at(t, want.lostTo)
	}
	if p.Type != "urn:notsale:problem:"+want.reason.String() || p.Position != position || p.Time != w.at(t, position) || p.LostTo.Position != want.lostTo || p.LostTo.Time != at {
		t.Errorf("%d %s, want %v, lost to %d at %s", a.Status, a.Body, want.reason, want.lostTo, at)
	}
	if want.lostTo != 0 && (p.LostTo.Reason != want.reason.String() || !strings.Contains(p.Detail, fmt.Sprintf("at position %d, %s", want.lostTo, at))) {
		t.Errorf("%s", a.Body)
	}
	if want.reason == allocation.CodeExpired && (!strings.Contains(p.Detail, k.Expires.String()) || !strings.Contains(p.Detail, p.Time)) {
		t.Errorf("%s", a.Body)
	}
	w.checkPrivate(t, k, a)
}

// at is when the position was decided.
func (f *front) at(t *testing.T, position int64) string {
	t.Helper()
	var at time.Time
	if err := f.DB.QueryRow(t.Context(), `SELECT decided_at FROM decisions WHERE position = $1`, position).Scan(&at); err != nil {
		t.Fatal(err)
	}
	return sale.InstantOf(at).String()
}

// checkPrivate fails when an answer names anybody, or any code.
func (w *tale) checkPrivate(t *testing.T, own edgetest.Ticket, a servicetest.Answer) {
	t.Helper()
	for _, k := range w.tickets[1:] {
		others := []string{k.ID.String(), k.Text}
		if k.User != own.User {
			others = append(others, `"`+string(k.User)+`"`, " "+string(k.User))
		}
		for _, secret := range others {
			if k.ID != own.ID && bytes.Contains(a.Body, []byte(secret)) {
				t.Errorf("%s tells %s of %s", a.Body, own.User, secret)
			}
		}
	}
}

// A code that an edge refused from the cache is nowhere in the stream.
func TestExplainWhatTheCacheRefused(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(3, 2)
	f.Allocate()
	mine, rival := f.Sign(of, 1, "ann", time.Hour), f.Sign(of, 1, "bob", time.Hour)
	w, cache := &tale{front: f, of: of, tickets: []edgetest.Ticket{{}, mine, rival}}, f.Cache("asker")
	refused := func(k edgetest.Ticket, status int, reasons ...string) {
		t.Helper()
		position := f.Count(`SELECT max(position) FROM cursors`)
		if status != 0 {
			servicetest.Eventually(t, "the cache says "+reasons[0], func() bool {
				known, err := cache.Ask(t.Context(), []rejection.Question{{Sale: of.UUID, Item: k.Item, User: k.User, Code: k.ID}})
				return err == nil && known[0].Reason.String() == reasons[0]
			})
			edgetest.Check(t, f.Purchase(t, k.Text), status, "", "")
			if f.Count(`SELECT max(position) FROM cursors`) != position {
				t.Fatal("the request reached the stream")
			}
		}
		x, text := f.explain(t, "--code", k.Text)
		var got []string
		for _, c := range x.Causes {
			got = append(got, c.Reason)
		}
		if x.Verdict != auditor.NeverQueued || x.Total != 0 || !slices.Equal(got, reasons) || !strings.Contains(text, "NEVER REACHED THE QUEUE") {
			t.Errorf("%+v\n%s", x, text)
		}
		a, p := f.ask(t, k)
		edgetest.Check(t, a, 404, "no-decision-yet", "no decision yet")
		if len(reasons) == 0 {
			if p.LostTo.Position != 0 || p.Detail != "no decision yet, POST again" {
				t.Errorf("%s", a.Body)
			}
			return
		}
		if p.LostTo.Reason != reasons[0] || p.LostTo.Position != x.Causes[0].LostTo.Position || p.LostTo.Time != x.Causes[0].LostTo.Engine {
			t.Errorf("%s, want %+v", a.Body, x.Causes[0].LostTo)
		}
		for _, c := range x.Causes {
			if !strings.Contains(p.Detail, fmt.Sprintf("at position %d, %s.", c.LostTo.Position, c.LostTo.Engine)) {
				t.Errorf("%s does not say where %s came about", a.Body, c.Reason)
			}
		}
		w.checkPrivate(t, k, a)
	}
	refused(rival, 0) // not sent yet, and nothing stands against it
	edgetest.Check(t, f.Purchase(t, mine.Text), 200, "", "")
	refused(rival, 409, "item-taken")
	edgetest.Check(t, f.Purchase(t, f.Sign(of, 2, "ann", time.Hour).Text), 200, "", "")
	more := f.Sign(of, 3, "ann", time.Hour)
	refused(more, 429, "limit-reached")
	edgetest.Check(t, f.Purchase(t, f.Sign(of, 3, "bob", time.Hour).Text), 200, "", "")
	refused(rival, 410, "sold-out", "item-taken")
	refused(more, 410, "sold-out", "limit-reached", "item-taken")
	if x, _ := f.explain(t, "--code", f.Sign(of, 3, "cid", -time.Hour).Text); x.Causes[0].Reason != "code-expired" || x.Causes[0].LostTo != nil {
		t.Errorf("an expired code that was never sent: %+v", x.Causes)
	}

	// Of a code of which only the id is known, the checkout says what it is for.
	x, text := f.explain(t, "--code", code.ID{1}.String(), "--sale", "1")
	if x.Verdict != auditor.NeverQueued || len(x.Causes) != 1 || x.Causes[0].Reason != "sold-out" || !strings.Contains(text, "no checkout that gave it is recorded") {
		t.Errorf("%+v\n%s", x, text)
	}
	f.exec(t, fmt.Sprintf(`INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, expires_at, edge)
		VALUES (gen_random_uuid(), 1, now(), 'bob', '1', 'issued', '%s', now() + interval '1 hour', 'edge-of-test')`, rival.ID))
	x, text = f.explain(t, "--code", rival.ID.String(), "--sale", "1")
	if x.Item != 1 || x.User != "bob" || x.Checkout == nil || len(x.Causes) != 2 || !strings.Contains(text, "checked out ") || x.Others != 0 {
		t.Errorf("%+v\n%s", x, text) // the attempt is in no stream, which is for an audit to say
	}
}

// What waits in the stream is said to wait, with the position that it will take.
func TestExplainWhatWaits(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(3, 2)
	first, second, unsent := f.Sign(of, 1, "ann", time.Hour), f.Sign(of, 1, "bob", time.Hour), f.Sign(of, 2, "bob", time.Hour)
	for _, k := range []edgetest.Ticket{first, second, second} {
		f.Enqueue(t, of, k)
	}
	x, text := f.explain(t, "--code", second.Text)
	if x.Verdict != auditor.Waiting || x.Total != 0 || x.Waiting.Messages != 3 || x.Waiting.Requests != 3 || len(x.Causes) != 0 ||
		len(x.Waiting.Asked) != 2 || x.Waiting.Asked[0].Position != 2 || x.Waiting.Asked[0].Sequence != 3 || x.Waiting.Asked[1].Position != 3 {
		t.Errorf("%+v", x)
	}
	for _, want := range []string{"WAITING", "Nothing stands against it", "3 requests wait"} {
		if !strings.Contains(text, want) {
			t.Errorf("not %q: %s", want, text)
		}
	}
	if x, _ := f.explain(t, "--code", unsent.Text); x.Verdict != auditor.NeverQueued || x.Waiting.Requests != 3 || x.Waiting.Asked != nil {
		t.Errorf("%+v", x)
	}
	if a, p := f.ask(t, second); a.Status != http.StatusNotFound || p.Detail != "no decision yet, POST again" {
		t.Errorf("%s", a.Body)
	}
	f.Allocate()
	f.decidedUpTo(t, 3)
	if x, _ := f.explain(t, "--code", second.Text); x.Verdict != auditor.Refused || x.Total != 2 || x.Causes[0].LostTo.Position != 1 {
		t.Errorf("%+v", x)
	}
}

func TestExplainAnItem(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(3, 2)
	f.Allocate()
	crowd := []edgetest.Ticket{f.Sign(of, 2, "other", time.Hour)}
	for n := range 2 * auditor.MaxRace {
		crowd = append(crowd, f.Sign(of, 1, servicetest.User(n), time.Hour))
	}
	f.Enqueue(t, of, crowd...)
	f.decidedUpTo(t, int64(len(crowd)))
	x, text := f.explain(t, "--item", "1")
	if x.Owner == nil || x.Owner.User != "user-0" || x.Owner.Position != 2 || x.Total != 2*auditor.MaxRace || len(x.Requests) != auditor.MaxRace {
		t.Fatalf("%+v", x)
	}
	for i, r := range x.Requests {
		reason := allocation.ItemTaken
		if i == 0 {
			reason = allocation.Granted
		}
		if r.Position != int64(i)+2 || string(r.User) != servicetest.User(i) || r.Reason != reason.String() || r.Item != 1 {
			t.Errorf("%+v", r)
		}
	}
	for _, want := range []string{"sold to user user-0", "40 requests, the first 20", "POSITION"} {
		if !strings.Contains(text, want) {
			t.Errorf("not %q: %s", want, text)
		}
	}
	if x, text := f.explain(t, "--item", "3", "--sale", "1"); x.Owner != nil || x.Total != 0 || !strings.Contains(text, "nobody's") {
		t.Errorf("%+v\n%s", x, text)
	}
}

func TestExplainAUser(t *testing.T) {
	t.Parallel()
	w := newTale(t)
	w.exec(t, `INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, edge)
		SELECT gen_random_uuid(), 1, now(), 'bob', '1', 'item-taken', 'edge' FROM generate_series(1, 3)`)
	x, text := w.explain(t, "--user", "bob", "--sale", "1")
	if x.Grants != 2 || x.UserLimit != 2 || x.Total != 5 || x.Outcomes[wire.ItemTaken] != 3 {
		t.Errorf("%+v", x)
	}
	var positions []int64
	for _, r := range x.Requests {
		positions = append(positions, r.Position)
	}
	if !slices.Equal(positions, []int64{2, 3, 7, 9, 11}) || !x.Requests[4].Repeat() || x.Requests[1].Reason != "code-expired" {
		t.Errorf("%+v", x.Requests)
	}
	for _, want := range []string{"2 items granted, of at most 2", "checkouts: 3 item-taken", "item-taken, as at position 2"} {
		if !strings.Contains(text, want) {
			t.Errorf("not %q: %s", want, text)
		}
	}
	if x, text := w.explain(t, "--user", "zoe", "--sale", "1"); x.Total != 0 || x.Grants != 0 || !strings.Contains(text, "none recorded") {
		t.Errorf("%+v\n%s", x, text)
	}
}

// Where the ledger says something else about what is asked, the command says so
// and ends with status 1.
func TestExplainDisagreement(t *testing.T) {
	t.Parallel()
	w := newTale(t)
	code, other := []string{"--code", w.tickets[2].Text}, []string{"--code", w.tickets[9].Text}
	item, user := []string{"--item", "1"}, []string{"--user", "bob", "--sale", "1"}
	for name, c := range map[string]struct {
		do, undo, want string
		found          [][]string
		others         [][]string
	}{
		"another reason": {
			`UPDATE decisions SET reason = 3 WHERE position = 2`, `UPDATE decisions SET reason = 5 WHERE position = 2`,
			"reason is sold-out, the stream gives item-taken",
			[][]string{code, item, user},
			[][]string{other},
		},
		"a deleted decision": {
			`CREATE TABLE kept AS SELECT * FROM decisions WHERE position = 2; DELETE FROM decisions WHERE position = 2`,
			`INSERT INTO decisions SELECT * FROM kept; DROP TABLE kept`,
			"decisions 2 missing",
			[][]string{code, item, user},
			[][]string{other},
		},
		"the code decided elsewhere": {
			`UPDATE decisions SET position = 11 WHERE position = 2`, `UPDATE decisions SET position = 2 WHERE position = 11`,
			"decisions 11 unfounded",
			[][]string{code},
			[][]string{other},
		},
		"another owner": {
			`UPDATE items SET user_id = 'bob' WHERE item_id = 1`, `UPDATE items SET user_id = 'ann' WHERE item_id = 1`,
			"user_id is bob, the stream gives ann",
			[][]string{code, item, user},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.exec(t, c.do)
			defer w.exec(t, c.undo)
			for _, args := range c.found {
				text, err := w.explainError(t, args...)
				if !errors.Is(err, errFindings) || errors.Is(err, errAudit) || !strings.Contains(text, c.want) {
					t.Errorf("%v: %v\n%s", args, err, text)
				}
			}
			for _, args := range c.others {
				if text, err := w.explainError(t, args...); err != nil || !strings.Contains(text, "findings about other things") {
					t.Errorf("%v: %v\n%s", args, err, text)
				}
			}
		})
	}
	w.explain(t, code...) // all is restored
}

// What lies in a hole only the ledger knows, and the explanation says so.
func TestExplainAcrossAHole(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(3, 2)
	lost, late, after := f.Sign(of, 1, "ann", time.Hour), f.Sign(of, 1, "bob", time.Hour), f.Sign(of, 2, "bob", time.Hour)
	f.Enqueue(t, of, after, after)
	l, s := f.Ledger("allocator"), f.Stream("allocator")
	if _, err := l.Renew(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	leases, err := l.Take(t.Context(), time.Hour, nil, 1)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	opening, err := s.Opening(t.Context(), of.ID)
	if err != nil {
		t.Fatal(err)
	}
	engine := allocation.New(of, opening.Message.Hash(), opening.Message.Time)
	commit := func(p allocation.Pack) {
		t.Helper()
		b := engine.Begin()
		engine.Apply(p, b)
		if err := l.Commit(t.Context(), of.ID, leases[0].Epoch, b); err != nil {
			t.Fatal(err)
		}
	}
	pack := func(sequence uint64) allocation.Pack {
		t.Helper()
		m, err := s.Message(t.Context(), of.ID, sequence)
		if err != nil {
			t.Fatal(err)
		}
		p, err := wire.ReadPack(sequence, m.Time, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	commit(pack(2))
	commit(allocation.Pack{Sequence: 3, Time: sale.InstantOf(time.Now()), Edge: "edge", Requests: []allocation.Request{lost.Request()}})
	hole := allocation.Hole{Generation: 2, Matching: 2, Lost: engine.Cursor()}
	hole.Mark = allocation.Mark{Time: pack(2).Time, Hash: pack(2).Hash}
	if err := l.OpenGeneration(t.Context(), of.ID, leases[0].Epoch, &hole); err != nil {
		t.Fatal(err)
	}
	engine.Reopen(&hole)
	f.Enqueue(t, of, late, lost)
	commit(pack(3))

	x, text := f.explain(t, "--code", late.Text)
	if x.Verdict != auditor.Refused || x.Requests[0].Position != 4 || !x.Causes[0].LostTo.Unproved || x.Causes[0].LostTo.Position != 3 || x.Causes[0].LostTo.User != "ann" ||
		!strings.Contains(text, "lost in a hole") {
		t.Errorf("%+v\n%s", x, text)
	}
	x, text = f.explain(t, "--code", lost.Text)
	if x.Verdict != auditor.Granted || x.Total != 2 || !x.Requests[0].Unproved || x.Requests[1].Unproved || !x.Requests[1].Repeat() || x.Requests[1].Decided != 3 {
		t.Errorf("%+v\n%s", x, text)
	}

	f.exec(t, `INSERT INTO decisions (sale_id, position, reason, decided_at) VALUES (1, 2, 1, now())`)
	if r := f.audit(t, of.ID); r.Total != 1 || r.Findings[0].Kind != auditor.Unfounded || r.Findings[0].Hole != 0 {
		t.Errorf("a decision made up where a repeat was, before the hole: %v", r.Findings)
	}
}

// A wrong row in a hole ends the evidence there: what came before is told, and of
// what came after nothing is claimed.
func TestExplainUpToAWrongRowInAHole(t *testing.T) {
	t.Parallel()
	e := audited(t)
	e.exec(t, `UPDATE decisions SET user_id = 'friend' WHERE sale_id = 1 AND position = 9`)
	of := func(ask string) string { return fmt.Sprintf("--sale 1 --code %v", e.issued[ask].Code) }
	for args, want := range map[string]string{
		"--item 1": "sold to user ann", of("ann 3"): "REFUSED at position 7",
		"--item 3": notKnown, "--item 6": notKnown, "--user kim --sale 1": notKnown, of("fay 5"): notKnown, of("hal 3"): notKnown, of("zoe 1"): notKnown,
	} {
		text, err := e.explainError(t, strings.Fields(args)...)
		if !errors.Is(err, errFindings) || !strings.Contains(text, want) || !strings.Contains(text, "not audited after position 8") || !strings.Contains(text, "decisions 9 differs: user_id is friend") {
			t.Errorf("%s: %v, want %q\n%s", args, err, want, text)
		}
	}
}

func TestExplainChecksTheSignature(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(3, 2)
	k := f.Sign(of, 1, "ann", time.Hour)
	keys := func(seed byte) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "keys.json")
		secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{seed}, code.MinSecret))
		if err := os.WriteFile(path, []byte(`{"keys":[{"id":1,"secret":"`+secret+`"}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, text := f.explain(t, "--code", k.Text, "--code-keys", keys(1)); !strings.Contains(text, signatureValid) {
		t.Errorf("%s", text)
	}
	for name, args := range map[string][]string{
		"another key":         {"--code", k.Text, "--code-keys", keys(2)},
		"no key file":         {"--code", k.Text, "--code-keys", filepath.Join(t.TempDir(), "none")},
		"nothing":             {},
		"two things":          {"--code", k.Text, "--item", "1"},
		"no code":             {"--code", "hello"},
		"an id without sale":  {"--code", k.ID.String()},
		"a user without sale": {"--user", "ann"},
		"no user":             {"--user", "a b", "--sale", "1"},
		"no such sale":        {"--user", "ann", "--sale", "7"},
		"no such item":        {"--item", "77"},
		"below zero":          {"--item", "-1"},
		"another sale":        {"--code", k.Text, "--sale", "7"},
		"of another shop":     {"--code", f.Sign(sale.Sale{UUID: sale.UUID{9}}, 1, "ann", time.Hour).Text},
	} {
		if text, err := f.explainError(t, args...); !errors.Is(err, errAudit) || errors.Is(err, errFindings) || text != "" {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// What is asked of an archive gets the answer that ledger and streams gave.
func TestExplainFromAnArchive(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(2, 1)
	staff := f.Hire(t, "staff")
	customers := f.SellOut(t, of)
	f.Post(t, servicetest.CheckoutPath("ann", int64(of.FirstItem)))
	servicetest.Eventually(t, "the attempt is recorded", func() bool { return f.Count(`SELECT count(*) FROM checkout_attempts`) == 1 })
	questions := [][]string{{"--item", "1"}, {"--user", "ann", "--sale", "1"}}
	for _, c := range customers {
		questions = append(questions, []string{"--code", c.Code})
	}
	var answers []string
	for _, q := range questions {
		answers = append(answers, f.prints(t, append([]string{"audit", "explain"}, q...)...))
	}
	path := filepath.Join(t.TempDir(), "sale.tar")
	f.prints(t, "sale", "archive", "1", "--out", path)
	staff.Stop()
	for i, q := range questions {
		if got := f.prints(t, append([]string{"audit", "explain", "--archive", path}, q...)...); got != answers[i] {
			t.Errorf("%v: from the archive\n%swas\n%s", q, got, answers[i])
		}
		if _, err := f.program(t, append([]string{"audit", "explain"}, q...)...); !errors.Is(err, archiver.ErrArchived) {
			t.Errorf("%v: %v, want ErrArchived", q, err)
		}
	}
	if _, err := f.program(t, "audit", "explain", "--archive", path, "--item", "3"); !errors.Is(err, errAudit) {
		t.Errorf("an item of no sale: %v", err)
	}
}
