package check_test

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"notsale/loadtest/faults/check"
	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// world is a sale that works, in simulated time: clients, edges that pack, the
// real engine, commits behind it, a cache behind those. Answers get lost, come
// late, or say 202 and 503; the cache forgets and lags; codes expire.
type world struct {
	*rand.Rand

	setting setting

	now      int64
	order    int // of events at the same time
	events   eventHeap
	sale     sale.Sale
	engine   *allocation.Engine
	edges    []*edge
	commit   int64 // when the last batch is committed
	next     int   // item
	attempts int
	mine     [][]ticket // codes by client
	ledger   map[code.ID]allocation.Decision
	owners   map[sale.ItemID]code.ID          // cache
	atLimit  map[sale.UserID]map[code.ID]bool // cache
	soldOut  bool                             // cache
	history  *check.History
}

type setting struct {
	sale                           sale.ID
	seed                           uint64
	operations, clients, users     int
	stock, limit                   int
	lost, failed, forgets, lookups float64 // shares
}

// ticket is a code that a client holds.
type ticket struct {
	id      code.ID
	item    sale.ItemID
	user    sale.UserID
	expires sale.Instant
}

type edge struct {
	name  string
	queue []*asked
	busy  bool
}

// asked is a purchase request that an edge has taken in.
type asked struct {
	ticket
	op     int // index of the operation
	done   func()
	closed bool // it was answered, or its answer is lost
	queued bool // it is in the stream
}

const origin = int64(1_700_000_000_000_000_000)

func simulate(s setting) *check.History {
	if s.sale == 0 {
		s.sale = 3
	}
	firstItem := sale.ItemID(s.sale)*10_000 + 1
	w := &world{
		setting: s, Rand: rand.New(rand.NewPCG(s.seed, 7)), mine: make([][]ticket, s.clients),
		sale:   sale.Sale{ID: s.sale, Stock: s.stock, UserLimit: s.limit, FirstItem: firstItem, Rules: 1},
		ledger: map[code.ID]allocation.Decision{}, history: &check.History{},
	}
	w.forget()
	w.engine = allocation.New(w.sale, allocation.Hash{}, w.instant())
	w.history.Ledgers = []check.Ledger{{Sale: s.sale, Stock: s.stock, UserLimit: s.limit, FirstItem: firstItem, Rules: w.sale.Rules}}
	for i := range 3 {
		w.edges = append(w.edges, &edge{name: fmt.Sprintf("edge-%d", i)})
	}
	for c := range s.clients {
		w.after(w.Int64N(1e6), func() { w.act(c) })
	}
	for w.events.Len() > 0 {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.export()
	return w.history
}

type event struct {
	at    int64
	order int
	do    func()
}

type eventHeap []event

func (h *eventHeap) Len() int { return len(*h) }
func (h *eventHeap) Less(i, j int) bool {
	a, b := &(*h)[i], &(*h)[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}
func (h *eventHeap) Swap(i, j int) { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }
func (h *eventHeap) Push(x any)    { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (w *world) after(delay int64, do func()) {
	w.order++
	heap.Push(&w.events, event{w.now + delay, w.order, do})
}

func (w *world) instant() sale.Instant { return sale.Instant((origin + w.now) / 1000) }

func (w *world) chance(p float64) bool { return w.Float64() < p }

// hop is the time that a message takes.
func (w *world) hop() int64 { return 50_000 + w.Int64N(400_000) }

func (w *world) forget() {
	w.owners, w.atLimit, w.soldOut = map[sale.ItemID]code.ID{}, map[sale.UserID]map[code.ID]bool{}, false
}

// act is one step of a client: to check out, to retry, or to look.
func (w *world) act(client int) {
	if len(w.history.Operations) >= w.setting.operations {
		return
	}
	again := func() { w.after(w.Int64N(2e6), func() { w.act(client) }) }
	held := w.mine[client]
	switch {
	case len(held) > 0 && w.chance(w.setting.lookups):
		w.lookup(client, held[w.IntN(len(held))], again)
	case len(held) > 0 && w.chance(0.2):
		w.purchase(client, held[w.IntN(len(held))], again)
	default:
		w.checkout(client, again)
	}
}

// begin notes an operation; answer ends it.
func (w *world) begin(o check.Operation) int {
	o.Start = w.now
	w.history.Operations = append(w.history.Operations, o)
	return len(w.history.Operations) - 1
}

// answer sends the answer to an operation, which may be lost on the way.
func (w *world) answer(op, status int, body string, done func()) {
	body = strings.Replace(body, "maximum of 10 ", fmt.Sprintf("maximum of %d ", w.setting.limit), 1)
	if w.chance(w.setting.lost) {
		w.after(20e6, done)
		return
	}
	w.after(w.hop(), func() {
		o := &w.history.Operations[op]
		o.End, o.Status, o.Body = w.now, status, []byte(body)
		done()
	})
}

func (w *world) checkout(client int, done func()) {
	w.next++
	item := w.sale.FirstItem + sale.ItemID(w.next%w.setting.stock)
	if w.chance(0.3) {
		item = w.sale.FirstItem + sale.ItemID(w.IntN(w.setting.stock))
	}
	user := sale.UserID(fmt.Sprintf("user-%d", w.IntN(w.setting.users)))
	o := check.Operation{Client: client, Kind: check.Checkout, Edge: w.edges[w.IntN(3)].name, Item: item, User: string(user)}
	status, body, outcome := 0, "", wire.Issued
	switch {
	case w.chance(0.01):
		o.Item, o.Param, o.User = 0, []string{"", "x", "0", "é"}[w.IntN(4)], []string{"", "a b", "u"}[w.IntN(3)]
		status, body, outcome = 400, problem("invalid-parameter", 400), wire.InvalidParameter
	case w.chance(0.005):
		o.Item = 999
		status, body, outcome = 404, problem("unknown-item", 404), wire.UnknownItem
	}
	op := w.begin(o)
	w.after(w.hop(), func() {
		if _, taken := w.owners[item]; status == 0 && w.soldOut {
			status, body, outcome = 410, problem("sold-out", 410), wire.SoldOut
		} else if status == 0 && taken {
			status, body, outcome = 409, problem("item-taken", 409), wire.ItemTaken
		}
		w.attempt(client, op, status, body, outcome, ticket{item: item, user: user}, done)
	})
}

// attempt persists a checkout and answers it.
func (w *world) attempt(client, op, status int, body string, outcome wire.Outcome, t ticket, done func()) {
	failed := w.chance(w.setting.failed)
	if failed && w.chance(0.5) {
		w.answer(op, 503, problem("overload", 503), done)
		return
	}
	o := &w.history.Operations[op]
	w.attempts++
	a := check.Attempt{ID: fmt.Sprintf("%d-%d", w.sale.ID, w.attempts), Sale: w.sale.ID, User: wire.Printable(o.User), Outcome: outcome}
	if a.Item = o.Param; o.Item != 0 {
		a.Item = o.Item.String()
	}
	a.Item = wire.Printable(a.Item)
	if status == 0 {
		status = 200
		for i := range t.id {
			t.id[i] = byte(w.Uint32())
		}
		t.expires = w.instant() + 3600e6
		if w.chance(0.05) {
			t.expires = w.instant() + sale.Instant(w.IntN(6000))
		}
		a.Code, body = t.id.String(), `{"code":"`+t.id.String()+`"}`
	}
	w.history.Attempts = append(w.history.Attempts, a)
	if failed {
		w.answer(op, 503, problem("not-queued", 503), done)
		return
	}
	w.answer(op, status, body, func() {
		o := &w.history.Operations[op]
		if o.Status != 200 {
			done()
			return
		}
		o.Code, o.Expires = t.id.String(), t.expires
		w.mine[client] = append(w.mine[client], t)
		w.after(w.hop(), func() { w.purchase(client, t, done) })
	})
}

func (w *world) about(client int, kind check.Kind, t ticket, via *edge) int {
	return w.begin(check.Operation{
		Client: client, Kind: kind, Edge: via.name, Sale: w.sale.ID, Item: t.item, User: string(t.user), Code: t.id.String(), Expires: t.expires,
	})
}

func (w *world) lookup(client int, t ticket, done func()) {
	op := w.about(client, check.Lookup, t, w.edges[w.IntN(3)])
	w.after(w.hop(), func() {
		if d, ok := w.ledger[t.id]; ok {
			w.decided(op, d, done)
			return
		}
		w.answer(op, 404, problem("no-decision-yet", 404), done)
	})
}

// purchase sends a code, and sends it again while there is no final answer.
func (w *world) purchase(client int, t ticket, done func()) {
	via := w.edges[w.IntN(3)]
	op := w.about(client, check.Purchase, t, via)
	tries := w.IntN(4)
	settled := func() {
		if o := &w.history.Operations[op]; o.Status != 200 && o.Status < 400 && tries > 0 || o.Status == 503 {
			w.after(w.hop(), func() { w.purchase(client, t, done) })
			return
		}
		done()
	}
	w.after(w.hop(), func() {
		if status, slug := w.cached(t); status != 0 {
			w.answer(op, status, problem(slug, status), settled)
			return
		}
		if w.chance(w.setting.failed / 2) {
			w.answer(op, 503, problem("overload", 503), settled)
			return
		}
		a := &asked{ticket: t, op: op, done: settled}
		via.queue = append(via.queue, a)
		w.flush(via)
		patience := int64(10e6)
		if w.chance(w.setting.failed) {
			patience = w.Int64N(2e6)
		}
		w.after(patience, func() { w.impatient(a) })
	})
}

// cached is what the rejection cache says.
func (w *world) cached(t ticket) (int, string) {
	owner, taken := w.owners[t.item]
	taken = taken && owner != t.id
	codes := w.atLimit[t.user]
	switch {
	case taken && w.soldOut:
		return 410, "sold-out"
	case codes != nil && !codes[t.id]:
		return 429, "limit-reached"
	case taken:
		return 409, "item-taken"
	}
	return 0, ""
}

func (w *world) impatient(a *asked) {
	if a.closed {
		return
	}
	a.closed = true
	if a.queued {
		w.answer(a.op, 202, `{"status":"pending"}`, a.done)
		return
	}
	w.answer(a.op, 503, problem("not-queued", 503), a.done)
}

// flush publishes what an edge has gathered, one pack in flight.
func (w *world) flush(e *edge) {
	if e.busy || len(e.queue) == 0 {
		return
	}
	e.busy = true
	batch := e.queue
	e.queue = nil
	w.after(w.hop(), func() { // the stream has it
		w.decide(e, batch)
		w.after(w.hop(), func() { // the edge knows
			for _, a := range batch {
				a.queued = true
			}
			e.busy = false
			w.flush(e)
		})
	})
}

// decide applies a pack; its effects come with its commit.
func (w *world) decide(e *edge, batch []*asked) {
	p := allocation.Pack{Sequence: w.engine.Cursor().Sequence + 1, Time: w.instant() - sale.Instant(w.IntN(3)), Edge: e.name}
	for i, a := range batch {
		p.Requests = append(p.Requests, allocation.Request{Number: uint64(i), Code: a.id, Item: a.item, User: a.user, Expires: a.expires})
	}
	if w.chance(0.002) {
		p.Requests = append(p.Requests, allocation.Request{}) // unreadable
	}
	b := w.engine.Begin()
	w.engine.Apply(p, b)
	l := &w.history.Ledgers[0]
	for _, d := range b.Decisions {
		if d.Code.IsZero() {
			l.Decisions = append(l.Decisions, check.Decision{Position: d.Position, Reason: d.Reason, At: d.At})
		}
	}
	delay := w.hop()
	if w.chance(0.002) {
		delay += 30e6 // the ledger is stuck
	}
	w.commit = max(w.commit, w.now+delay)
	w.after(w.commit-w.now, func() { w.committed(b, batch) })
}

func (w *world) committed(b *allocation.Batch, batch []*asked) {
	for _, d := range b.Decisions {
		w.ledger[d.Code] = d
	}
	w.learn(&b.Facts)
	for i, a := range batch {
		if !a.closed {
			a.closed = true
			w.decided(a.op, b.Replies[i].Decision, a.done)
		}
	}
}

func (w *world) learn(f *allocation.Facts) {
	if w.chance(w.setting.forgets) {
		w.forget()
	}
	if w.chance(0.1) {
		return
	}
	for _, o := range f.Owners {
		w.owners[o.Item] = o.Code
	}
	for _, u := range f.AtLimit {
		codes := map[code.ID]bool{}
		for _, id := range u.Codes {
			codes[id] = true
		}
		w.atLimit[u.User] = codes
	}
	w.soldOut = w.soldOut || f.SoldOut
}

// decided answers with a decision.
func (w *world) decided(op int, d allocation.Decision, done func()) {
	if d.Reason == allocation.Granted {
		w.answer(op, 200, grant(w.sale.ID, d.Item, d.User, d.Position, d.At), done)
		return
	}
	slug, status := d.Reason.String(), http.StatusGone
	switch d.Reason {
	case allocation.ItemTaken:
		status = http.StatusConflict
	case allocation.LimitReached:
		status = http.StatusTooManyRequests
	}
	w.answer(op, status, refusal(slug, status, d.Position, d.At), done)
}

// success is the answer to a grant of the sale that plants spoil.
func success(item sale.ItemID, user sale.UserID, position int64, at sale.Instant) string {
	return grant(3, item, user, position, at)
}

func grant(id sale.ID, item sale.ItemID, user sale.UserID, position int64, at sale.Instant) string {
	return encode(map[string]any{
		"message": "Purchase successful", "status": "success", "item": item, "name": "Velvet Copper Lantern",
		"sale": id, "user_id": user, "position": position, "time": at.String(),
	})
}

func problem(slug string, status int) string { return refusal(slug, status, 0, 0) }

func refusal(slug string, status int, position int64, at sale.Instant) string {
	m := map[string]any{"type": "urn:notsale:problem:" + slug, "status": status, "detail": "It is so."}
	if slug == "limit-reached" {
		m["detail"] = "User has reached the maximum of 10 items per sale"
	}
	if position != 0 {
		m["position"], m["time"] = position, at.String()
	}
	return encode(m)
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// export writes the ledger down, in no order.
func (w *world) export() {
	l := &w.history.Ledgers[0]
	for id, d := range w.ledger {
		if d.Code.IsZero() {
			continue
		}
		l.Decisions = append(l.Decisions, check.Decision{
			Position: d.Position, Code: id.String(), Item: d.Item, User: string(d.User), Reason: d.Reason, At: d.At,
		})
		if d.Reason == allocation.Granted {
			l.Sold = append(l.Sold, check.Sold{Item: d.Item, User: string(d.User), Code: id.String(), Position: d.Position})
		}
	}
	slices.SortFunc(l.Decisions, func(a, b check.Decision) int { return int(a.Position - b.Position) })
	slices.SortFunc(l.Sold, func(a, b check.Sold) int { return int(a.Position - b.Position) })
}
