package archive

import (
	"context"
	"fmt"
	"iter"
	"math"
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
	_ auditor.Ledger  = (*Archive)(nil)
	_ auditor.Streams = (*Archive)(nil)
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
func records[T any](ctx context.Context, a *Archive, id sale.ID, members []member, c codec[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		var before *T
		err := a.check(ctx, id)
		for i := 0; err == nil && i < len(members); i++ {
			var text []byte
			if text, err = a.plain(&members[i]); err == nil {
				err = ctx.Err()
			}
			for n := 1; err == nil && len(text) > 0; n++ {
				var record T
				size, ok := c.read(text, &record)
				if !ok || before != nil && !c.follows(before, &record) {
					err = a.damage(members[i].at, fmt.Sprintf("a record in its place as number %d", n), "something else")
					break
				}
				if !yield(record, nil) {
					return
				}
				before, text = &record, text[size:]
			}
		}
		if err != nil {
			yield(none, err)
		}
	}
}

// between yields the records with numbers from first to last.
func between[T any](ctx context.Context, a *Archive, id sale.ID, section string, c codec[T], first, last int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if first > last {
			return
		}
		for record, err := range records(ctx, a, id, a.from(section, first), c) {
			if err == nil && c.number(record) < first {
				continue
			}
			if err == nil && c.number(record) > last || !yield(record, err) || err == nil && c.number(record) == last {
				return
			}
		}
	}
}

// sale returns the records of the section sale.
func (a *Archive) sale(ctx context.Context, id sale.ID) (s ledger.Snapshot, of streams, err error) {
	kinds := [6]int{}
	for record, err := range records(ctx, a, id, a.sections[sectionSale], saleCodec) {
		if err != nil {
			return ledger.Snapshot{}, of, err
		}
		kind, _ := order(record)
		kinds[kind]++
		switch r := record.(type) {
		case *ledger.SaleRow:
			s.Sale = *r
		case *ledger.Position:
			s.Position = *r
		case *streams:
			of = *r
		case *ledger.HoleRow:
			s.Holes = append(s.Holes, *r)
		case *ledger.ItemRow:
			s.Items = append(s.Items, *r)
		case *ledger.RowKey:
			s.Beyond = append(s.Beyond, *r)
		}
	}
	if [3]int(kinds[:3]) != [3]int{1, 1, 1} {
		err = a.damage(a.size, "one record each of sales, cursors and streams", fmt.Sprint(kinds[:3]))
	}
	return s, of, err
}

// Snapshot returns what stood of the sale when it was exported. Position.Mine is
// not kept.
func (a *Archive) Snapshot(ctx context.Context, id sale.ID) (ledger.Snapshot, error) {
	s, _, err := a.sale(ctx, id)
	return s, err
}

// Decisions yields the decisions above a position, up to another, in order.
func (a *Archive) Decisions(ctx context.Context, id sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error] {
	return between(ctx, a, id, sectionDecisions, decisionCodec, after+1, upTo)
}

// Commits yields the commits by generation and sequence.
func (a *Archive) Commits(ctx context.Context, id sale.ID) iter.Seq2[ledger.CommitRow, error] {
	return records(ctx, a, id, a.sections[sectionCommits], commitCodec)
}

// Attempts yields the checkout attempts by id.
func (a *Archive) Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return records(ctx, a, id, a.sections[sectionAttempts], attemptCodec)
}

// Opening returns the sale's opening record.
func (a *Archive) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	_, of, err := a.sale(ctx, id)
	if err != nil {
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
		return stream.Opening{Sale: s, Message: m, Created: time.Unix(0, of.created).UTC()}, nil
	}
	return stream.Opening{}, fmt.Errorf("%w: the archive has no messages of the sale", stream.ErrLost)
}

// Messages yields the messages of the sale's stream from first to last, or to
// the last one that was decided when the sale was exported. It may be called
// again for any of them.
func (a *Archive) Messages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return between(ctx, a, id, sectionStream, messageCodec, signed(first), signed(last))
}

// AttemptMessages is Messages for the stream of attempts.
func (a *Archive) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return between(ctx, a, id, sectionAttemptsStream, messageCodec, signed(first), signed(last))
}

// signed returns a sequence, or the highest that there may be.
func signed(sequence uint64) int64 { return int64(min(sequence, math.MaxInt64)) }

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
