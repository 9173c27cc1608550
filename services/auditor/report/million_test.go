package report_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/auditor/report"
)

// evidence is a sale's stream and ledger in memory, so that an audit takes as
// little time as it can.
type evidence struct {
	opening   stream.Opening
	messages  []stream.Message
	snapshot  ledger.Snapshot
	decisions []allocation.Decision
	commits   []ledger.CommitRow
}

func (e *evidence) Snapshot(context.Context, sale.ID) (ledger.Snapshot, error) {
	return e.snapshot, nil
}

func (e *evidence) Decisions(_ context.Context, _ sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error] {
	return func(yield func(allocation.Decision, error) bool) {
		for _, d := range e.decisions[after:upTo] { // none is missing: nobody retries
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (e *evidence) Commits(context.Context, sale.ID) iter.Seq2[ledger.CommitRow, error] {
	return func(yield func(ledger.CommitRow, error) bool) {
		for i := range e.commits {
			if !yield(e.commits[i], nil) {
				return
			}
		}
	}
}

func (e *evidence) Attempts(context.Context, sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return func(func(ledger.RecordedAttempt, error) bool) {}
}

func (e *evidence) Opening(context.Context, sale.ID) (stream.Opening, error) { return e.opening, nil }

func (e *evidence) Messages(_ context.Context, _ sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		for i := first; i <= last && i <= uint64(len(e.messages)); i++ {
			if !yield(e.messages[i-1], nil) {
				return
			}
		}
	}
}

func (e *evidence) AttemptMessages(context.Context, sale.ID, uint64, uint64) iter.Seq2[stream.Message, error] {
	return func(func(stream.Message, error) bool) {}
}

func (e *evidence) LastAttempt(context.Context, sale.ID) (uint64, error) { return 0, nil }

func (e *evidence) Recorded(context.Context, sale.ID) (ledger.Recorded, error) {
	return ledger.Recorded{}, nil
}

const perPack = 50

// The promised size in the long form: 10,000 items that a million requests want.
var (
	manyItems = effort.Of(1000, 10_000)
	manyPacks = effort.Of(2000, 20_000)
)

// million makes such a sale.
func million() *evidence {
	s := newStory(manyItems, 10)
	o, snapshot := openingOf(s.of)
	e := &evidence{opening: *o, messages: []stream.Message{o.Message}, snapshot: *snapshot}
	rnd := rand.New(rand.NewPCG(1, 2))
	requests := make([]allocation.Request, perPack)
	for n := range manyPacks {
		for i := range requests {
			requests[i] = allocation.Request{
				Number: uint64(i), Code: code.ID{byte(n), byte(n >> 8), byte(i), 1}, Item: s.of.FirstItem + sale.ItemID(rnd.IntN(manyItems)),
				User: sale.UserID(fmt.Sprint("user-", rnd.IntN(100_000))), Expires: math.MaxInt64 >> 8,
			}
		}
		edge := fmt.Sprintf("edge-%d", n%3)
		m := stream.Message{Sequence: uint64(n + 2), Time: sale.InstantOf(at(time.Duration(n) * 500 * time.Microsecond)), Data: wire.AppendPack(nil, edge, requests)}
		b := s.engine.Begin()
		s.engine.Apply(allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Edge: edge, Requests: requests}, b)
		e.messages, e.decisions = append(e.messages, m), append(e.decisions, b.Decisions...)
		row := ledger.CommitRow{Generation: 1, Sequence: m.Sequence, Position: b.After.Position, Chain: b.After.Chain[:], Epoch: int64(1 + n/9000), At: m.Time.Time().Add(time.Duration(rnd.IntN(5000)) * time.Microsecond)}
		row.Packs = markOf(b.Packs[0])
		e.commits = append(e.commits, row)
	}
	e.snapshot.Position.Cursor = s.engine.Cursor()
	for i := range e.decisions {
		if d := &e.decisions[i]; d.Reason == allocation.Granted {
			e.snapshot.Items = append(e.snapshot.Items, ledger.ItemRow{Item: d.Item, Sale: s.of.ID, User: d.User, Code: d.Code, Position: d.Position, SoldAt: d.At})
		}
	}
	return e
}

// markOf writes a mark as a row of commits holds it.
func markOf(m allocation.Mark) []byte {
	text := make([]byte, 0, 24)
	for shift := 56; shift >= 0; shift -= 8 {
		text = append(text, byte(m.Time>>shift))
	}
	return append(text, m.Hash[:16]...)
}

func (e *evidence) audit(tb testing.TB, c *report.Collector) *auditor.Report {
	tb.Helper()
	var o auditor.Options
	if c != nil {
		o.Watcher = c
	}
	r, err := auditor.Audit(tb.Context(), e, e, 7, o)
	if err != nil {
		tb.Fatal(err)
	}
	if !r.Clean() {
		tb.Fatalf("findings %v", r.Findings[:min(len(r.Findings), 5)])
	}
	return r
}

// A page of a million requests is no larger than that of a thousand.
func TestPageOfAMillionRequests(t *testing.T) {
	e, c := million(), &report.Collector{}
	r := e.audit(t, c)
	text, p := render(t, c, r)
	if len(text) > 400_000 {
		t.Errorf("the page has %d bytes", len(text))
	}
	items, requests := "1,000", "100,000"
	if effort.Long() {
		items, requests = "10,000", "1,000,000"
	}
	if figures := p.one(t, classed("tiles")).texts(named("b")); figures[0] != items || figures[2] != requests || figures[3] != "100,000/s" {
		t.Errorf("figures %q", figures)
	}
}

func BenchmarkAuditOfAMillion(b *testing.B) {
	e := million()
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			e.audit(b, nil)
		}
	})
	b.Run("with its page", func(b *testing.B) {
		for b.Loop() {
			c, page := &report.Collector{}, &bytes.Buffer{}
			r := e.audit(b, c)
			if err := report.Render(page, c, r); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(page.Len()), "page-bytes")
		}
	})
}
