package archive

import (
	"context"
	"fmt"
	"iter"
	"sort"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
)

var (
	_ auditor.Books = (*Archive)(nil)
	_ auditor.Tape  = (*Archive)(nil)
)

// check says whether the archive can be asked about the sale.
func (a *Archive) check(ctx context.Context, id sale.ID) error {
	if a.broken != nil {
		return a.broken
	}
	if id != a.manifest.Number {
		return fmt.Errorf("%w: sale %d: this is an archive of sale %d", ledger.ErrNotFound, id, a.manifest.Number)
	}
	return ctx.Err()
}

// from returns the members of a section from that on in which the record of this
// number is, if there is one.
func (a *Archive) from(section string, number int64) []member {
	all := a.sections[section]
	after := sort.Search(len(all), func(i int) bool { return all[i].said.First > number })
	return all[max(after-1, 0):]
}

// records yields the records of members of a section.
func records[T any](ctx context.Context, a *Archive, members []member, c codec[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		var before *T
		for i := range members {
			text, err := a.plain(&members[i])
			if err == nil {
				err = ctx.Err()
			}
			for n := 1; err == nil && len(text) > 0; n++ {
				record, size, ok := c.read(text)
				if !ok || before != nil && !c.follows(before, &record) {
					err = a.damage(members[i].at, fmt.Sprintf("a record in its place as number %d", n), "something else")
					break
				}
				if !yield(record, nil) {
					return
				}
				before, text = &record, text[size:]
			}
			if err != nil {
				yield(none, err)
				return
			}
		}
	}
}

// failed is a sequence of nothing but an error.
func failed[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		yield(none, err)
	}
}

// saleRecords yields the records of the section sale.
func (a *Archive) saleRecords(ctx context.Context) iter.Seq2[any, error] {
	return records(ctx, a, a.sections[sectionSale], saleCodec)
}

// Snapshot returns what stood of the sale when it was exported. Position.Mine is
// not kept.
func (a *Archive) Snapshot(ctx context.Context, id sale.ID) (s ledger.Snapshot, err error) {
	if err := a.check(ctx, id); err != nil {
		return ledger.Snapshot{}, err
	}
	for record, err := range a.saleRecords(ctx) {
		if err != nil {
			return ledger.Snapshot{}, err
		}
		switch r := record.(type) {
		case *ledger.SaleRow:
			s.Sale = *r
		case *ledger.Position:
			s.Position = *r
		case *ledger.HoleRow:
			s.Holes = append(s.Holes, *r)
		case *ledger.ItemRow:
			s.Items = append(s.Items, *r)
		case *ledger.RowKey:
			s.Beyond = append(s.Beyond, *r)
		}
	}
	return s, nil
}

// Decisions yields the decisions above a position, up to another, in order.
func (a *Archive) Decisions(ctx context.Context, id sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error] {
	if err := a.check(ctx, id); err != nil {
		return failed[allocation.Decision](err)
	}
	return func(yield func(allocation.Decision, error) bool) {
		for d, err := range records(ctx, a, a.from(sectionDecisions, after+1), decisionCodec) {
			if err == nil && d.Position <= after {
				continue
			}
			if err == nil && d.Position > upTo || !yield(d, err) {
				return
			}
		}
	}
}

// Commits yields the commits by generation and sequence.
func (a *Archive) Commits(ctx context.Context, id sale.ID) iter.Seq2[ledger.CommitRow, error] {
	if err := a.check(ctx, id); err != nil {
		return failed[ledger.CommitRow](err)
	}
	return records(ctx, a, a.sections[sectionCommits], commitCodec)
}

// Attempts yields the checkout attempts by id.
func (a *Archive) Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	if err := a.check(ctx, id); err != nil {
		return failed[ledger.RecordedAttempt](err)
	}
	return records(ctx, a, a.sections[sectionAttempts], attemptCodec)
}

// Opening returns the sale's opening record.
func (a *Archive) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	if err := a.check(ctx, id); err != nil {
		return stream.Opening{}, err
	}
	for m, err := range a.Messages(ctx, id, 1, 1) {
		if err != nil {
			return stream.Opening{}, err
		}
		s, err := wire.DecodeOpening(m.Data)
		if err != nil {
			return stream.Opening{}, fmt.Errorf("archive: sale %d: %w", id, err)
		}
		created, err := a.created(ctx)
		return stream.Opening{Sale: s, Message: m, Created: created}, err
	}
	return stream.Opening{}, fmt.Errorf("%w: the archive has no messages of the sale", stream.ErrLost)
}

// created returns when the sale's stream was made.
func (a *Archive) created(ctx context.Context) (time.Time, error) {
	for record, err := range a.saleRecords(ctx) {
		if r, ok := record.(*streams); ok || err != nil {
			if err != nil {
				return time.Time{}, err
			}
			return r.created, nil
		}
	}
	return time.Time{}, a.damage(a.sections[sectionSale][0].at, "when the sale's stream was made", "nothing of it")
}

// Messages yields the messages of the sale's stream from first to last, or to
// the last one that was decided when the sale was exported. It may be called
// again for any of them.
func (a *Archive) Messages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return a.messages(ctx, id, sectionStream, first, last)
}

// AttemptMessages is Messages for the stream of attempts.
func (a *Archive) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return a.messages(ctx, id, sectionAttemptsStream, first, last)
}

func (a *Archive) messages(ctx context.Context, id sale.ID, section string, first, last uint64) iter.Seq2[stream.Message, error] {
	if err := a.check(ctx, id); err != nil {
		return failed[stream.Message](err)
	}
	return func(yield func(stream.Message, error) bool) {
		if first > last {
			return
		}
		for m, err := range records(ctx, a, a.from(section, int64(first)), messageCodec) {
			if err == nil && m.Sequence < first {
				continue
			}
			if err == nil && m.Sequence > last || !yield(m, err) || m.Sequence == last {
				return
			}
		}
	}
}

// LastAttempt returns the last message of the stream of attempts.
func (a *Archive) LastAttempt(ctx context.Context, id sale.ID) (uint64, error) {
	if err := a.check(ctx, id); err != nil {
		return 0, err
	}
	return uint64(a.manifest.Counts.AttemptMessages), nil
}

// Recorded returns how far the stream of attempts was recorded when the sale was
// exported.
func (a *Archive) Recorded(ctx context.Context, id sale.ID) (ledger.Recorded, error) {
	if err := a.check(ctx, id); err != nil {
		return ledger.Recorded{}, err
	}
	return ledger.Recorded{Own: a.manifest.AttemptFloor}, nil
}
