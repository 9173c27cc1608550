package auditor

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// attempts compares checkout_attempts with the stream of attempts. Attempts
// that wait in the stream to be recorded are counted, and are no finding.
func (a *audit) attempts() error {
	c := comparison{audit: a, seed: maphash.MakeSeed()}
	var err error
	if c.recorded, err = a.ledger.Recorded(a.ctx, a.id); err != nil {
		return err
	}
	end, err := c.index()
	if err != nil {
		return err
	}
	if err := c.rows(); err != nil {
		return err
	}
	if err := c.late(end + 1); err != nil {
		return err
	}
	for i := range c.stored {
		switch s := &c.stored[i]; {
		case c.seen[i]:
		case !c.recorded.Has(s.sequence):
			a.report.Unrecorded++
		default:
			a.report.add(Finding{Kind: Missing, Table: "checkout_attempts", Row: s.id.String(), Sequence: s.sequence})
		}
	}
	return nil
}

// comparison compares the attempts of a stream with their rows. Of a stored
// attempt it keeps 32 bytes: there may be millions.
type comparison struct {
	*audit

	seed     maphash.Seed
	recorded ledger.Recorded // when the audit began
	stored   []storedAttempt // by id
	seen     []bool          // whether stored has a row
	lone     []ledger.RecordedAttempt
}

type storedAttempt struct {
	id       sale.UUID
	digest   uint64 // of the attempt with its edge
	sequence uint64
}

func (c *comparison) digest(r ledger.RecordedAttempt) uint64 { return maphash.Comparable(c.seed, r) }

// each calls do with the attempts of the sale, message by message, and returns
// the last sequence. What nobody can read is passed over, as the recorder does.
func (c *comparison) each(first, last uint64, do func(uint64, ledger.RecordedAttempt)) (uint64, error) {
	end := first - 1
	for m, err := range c.streams.AttemptMessages(c.ctx, c.id, first, last) {
		if err != nil {
			return end, err
		}
		end = m.Sequence
		c.pace.work()
		edge, list, _ := wire.DecodeAttempts(m.Data)
		for i := range list {
			if c.id == 0 { // whatever sale it names: that one's own stream took nothing more
				list[i].Sale = 0
			}
			if list[i].Sale == c.id {
				do(m.Sequence, ledger.RecordedAttempt{Attempt: list[i], Edge: edge})
			}
		}
		if err := c.pace.rest(c.ctx); err != nil {
			return end, err
		}
	}
	return end, nil
}

// index reads the stream. An attempt that was published twice
// counts once, as first stored.
func (c *comparison) index() (end uint64, err error) {
	end, err = c.each(1, math.MaxUint64, func(sequence uint64, r ledger.RecordedAttempt) {
		c.stored = append(c.stored, storedAttempt{id: r.ID, digest: c.digest(r), sequence: sequence})
	})
	slices.SortStableFunc(c.stored, func(x, y storedAttempt) int { return bytes.Compare(x.id[:], y.id[:]) })
	c.stored = slices.CompactFunc(c.stored, func(x, y storedAttempt) bool { return x.id == y.id })
	c.seen = make([]bool, len(c.stored))
	c.report.Attempts = int64(len(c.stored))
	if c.id != 0 {
		c.report.AttemptsSequence = end
	}
	c.comparePublishedAttempts()
	return end, err
}

// rows compares the rows of the ledger.
func (c *comparison) rows() error {
	for row, err := range c.ledger.Attempts(c.ctx, c.id) {
		if err != nil {
			return err
		}
		c.pace.work()
		i, ok := slices.BinarySearchFunc(c.stored, row.ID, func(s storedAttempt, id sale.UUID) int { return bytes.Compare(s.id[:], id[:]) })
		if !ok {
			c.lone = append(c.lone, row)
		} else if c.seen[i] = true; c.digest(row) != c.stored[i].digest {
			if err := c.compare(&row, &c.stored[i]); err != nil {
				return err
			}
		}
		if err := c.pace.rest(c.ctx); err != nil {
			return err
		}
	}
	return nil
}

// compare names the fields in which a row and its stored attempt differ.
func (c *comparison) compare(row *ledger.RecordedAttempt, stored *storedAttempt) error {
	if c.report.Total >= MaxFindings { // it is counted, nobody reads more of it
		c.report.Total++
		return nil
	}
	_, err := c.each(stored.sequence, stored.sequence, func(_ uint64, s ledger.RecordedAttempt) {
		if s.ID == row.ID {
			c.compareAttempt(row, &s, stored.sequence)
		}
	})
	return err
}

// late looks for the rows that were not found in what was published since.
func (c *comparison) late(first uint64) error {
	if len(c.lone) == 0 {
		return nil
	}
	lone := make(map[sale.UUID]*ledger.RecordedAttempt, len(c.lone))
	for i := range c.lone {
		lone[c.lone[i].ID] = &c.lone[i]
	}
	_, err := c.each(first, math.MaxUint64, func(sequence uint64, s ledger.RecordedAttempt) {
		if row := lone[s.ID]; row != nil {
			c.compareAttempt(row, &s, sequence)
			delete(lone, s.ID)
		}
	})
	for i := range c.lone {
		switch id := c.lone[i].ID; {
		case lone[id] == nil:
		case c.gone(&c.lone[i]):
			c.report.UnprovedAttempts++
		default:
			c.report.add(Finding{Kind: Unfounded, Table: "checkout_attempts", Row: id.String()})
		}
	}
	return err
}

// edgeSkew is how far an edge's clock may be off NATS's, with the time that an
// attempt waits to be stored.
const edgeSkew = sale.Instant(time.Minute / time.Microsecond)

// gone reports whether the message of a row may be where no stream is any more:
// it was old and its stream removed, or the stream has lost its tail.
func (c *comparison) gone(row *ledger.RecordedAttempt) bool {
	return c.recorded.Gone > 0 && row.At <= c.recorded.Gone+edgeSkew
}

func (c *comparison) compareAttempt(l, s *ledger.RecordedAttempt, sequence uint64) {
	at := Finding{Table: "checkout_attempts", Row: l.ID.String(), Sequence: sequence}
	compare(c.report, at, "sale_id", l.Sale, s.Sale)
	compare(c.report, at, "attempted_at", l.At, s.At)
	compare(c.report, at, "user_param", l.User, s.User)
	compare(c.report, at, "item_param", l.Item, s.Item)
	compare(c.report, at, "outcome", l.Outcome, s.Outcome)
	compare(c.report, at, "code_id", l.Code, s.Code)
	compare(c.report, at, "expires_at", l.Expires, s.Expires)
	compare(c.report, at, "edge", l.Edge, s.Edge)
}

// AllSales is a ledger of many sales.
type AllSales interface {
	Ledger
	// Sale returns a sale's row, or ledger.ErrNotFound.
	Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error)
	// Strays returns rows, at most so many, that name a sale which does not
	// exist, and sales that are archived and have no archive.
	Strays(ctx context.Context, most int) ([]ledger.RowKey, error)
}

// AllStreams is the streams of many sales.
type AllStreams interface {
	Streams
	// Sales returns the numbers of the sales that have a stream.
	Sales(ctx context.Context) ([]sale.ID, error)
}

// AuditRest audits what belongs to no sale: the attempts to check out items
// that no sale has, rows that name a sale which does not exist, and streams of
// sales that the ledger does not know, or knows as another sale that was never
// opened (what was opened has an audit of its own, which compares them). The
// report is that of sale 0.
func AuditRest(ctx context.Context, l AllSales, streams AllStreams) (*Report, error) {
	a := &audit{ctx: ctx, ledger: l, streams: streams, report: &Report{Findings: []Finding{}}, pace: newPace(0, sale.Open)}
	strays, err := l.Strays(ctx, MaxFindings)
	if err != nil {
		return nil, err
	}
	for _, row := range strays {
		a.report.add(Finding{Kind: Unfounded, Table: row.Table, Row: row.Key})
	}
	ids, err := streams.Sales(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := a.unopened(l, id); err != nil {
			return nil, err
		}
	}
	return a.report, a.attempts()
}

// unopened compares the stream of a sale that the ledger has not opened with what
// it knows of it.
func (a *audit) unopened(l AllSales, id sale.ID) error {
	row, err := l.Sale(a.ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		row.State, err = sale.Preparing, nil
	}
	if err != nil || row.State != sale.Preparing {
		return err
	}
	at := Finding{Kind: Differs, Table: "sales", Row: id.String(), Field: "sale_uuid", Sequence: 1, Ledger: row.Sale.UUID.String()}
	if row.Sale.UUID.IsZero() {
		at.Kind, at.Ledger = Missing, "none"
	}
	opening, err := a.streams.Opening(a.ctx, id)
	switch at.Stream = opening.Sale.UUID.String(); {
	case errors.Is(err, stream.ErrLost) && at.Kind == Differs:
		return nil // its opening is under way
	case errors.Is(err, stream.ErrLost), errors.Is(err, wire.ErrMessage), errors.Is(err, wire.ErrVersion):
		at.Stream = err.Error()
	case err != nil:
		return err
	}
	if at.Ledger != at.Stream {
		a.report.add(at)
	}
	return nil
}
