package simulation

import (
	"context"
	"encoding/binary"
	"iter"
	"maps"
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
)

// audit lets the program's own auditor compare the model ledger with the model
// streams.
func (s *simulation) audit() {
	for _, of := range s.book.sales {
		if of.opened {
			s.judge(auditor.Audit(context.Background(), booksOf{s.book, s.broker}, tapeOf{s.broker}, of.row.Sale.ID, auditor.Options{Share: 1}))
		}
	}
	s.judge(auditor.AuditRest(context.Background(), booksOf{s.book, s.broker}, tapeOf{s.broker}))
}

func (s *simulation) judge(r *auditor.Report, err error) {
	if err != nil {
		s.violatef("I8: the audit could not be carried out: %v", err)
		return
	}
	for _, f := range r.Findings {
		s.violatef("I8: %v", f)
	}
	if r.Unrecorded > 0 {
		s.violatef("I4: %d attempts of sale %d are not recorded", r.Unrecorded, r.Sale)
	}
}

// booksOf is the model ledger, as an audit reads it.
type booksOf struct {
	*book

	broker *broker
}

// Recorded says of which messages the model's recorder is done.
func (b booksOf) Recorded(_ context.Context, id sale.ID) (r ledger.Recorded, _ error) {
	r.Own = b.recorded[wire.AttemptStream{Sale: id}].Sequence
	return r, nil
}

func (b booksOf) Snapshot(_ context.Context, id sale.ID) (ledger.Snapshot, error) {
	of := b.sale(id)
	s := ledger.Snapshot{Sale: of.row, Position: of.pos}
	for i := range of.holes {
		h := &of.holes[i]
		s.Holes = append(s.Holes, ledger.HoleRow{
			Generation: h.Generation, Matching: h.Matching, CursorSequence: h.Lost.Sequence, CursorPosition: h.Lost.Position,
			CursorChain: h.Lost.Chain[:], Resume: h.Resume(), CursorTime: h.Lost.Now,
		})
	}
	for item := of.row.Sale.FirstItem; item <= of.row.Sale.LastItem(); item++ {
		if owner, sold := b.owners[item]; sold {
			d := b.byCode[owner]
			s.Items = append(s.Items, ledger.ItemRow{Item: item, Sale: id, User: d.User, Code: owner, Position: d.Position, SoldAt: d.At})
		}
	}
	return s, nil
}

func (b booksOf) Decisions(_ context.Context, id sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error] {
	return func(yield func(allocation.Decision, error) bool) {
		for _, d := range b.sale(id).decisions {
			if d.Position > after && d.Position <= upTo && !yield(d, nil) {
				return
			}
		}
	}
}

func (b booksOf) Commits(_ context.Context, id sale.ID) iter.Seq2[ledger.CommitRow, error] {
	return func(yield func(ledger.CommitRow, error) bool) {
		commits := b.sale(id).commits
		for i := range commits {
			c := &commits[i]
			row := ledger.CommitRow{
				Generation: c.generation, Sequence: c.sequence, Position: c.cursor.Position, Chain: c.cursor.Chain[:],
				Packs: packsColumn(c.packs), Epoch: c.epoch, At: c.at.Time(),
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// packsColumn writes marks as the column commits.packs has them.
func packsColumn(marks []allocation.Mark) (column []byte) {
	for i := range marks {
		column = binary.BigEndian.AppendUint64(column, uint64(marks[i].Time))
		column = append(column, marks[i].Hash[:16]...)
	}
	return column
}

func (b booksOf) Attempts(_ context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return func(yield func(ledger.RecordedAttempt, error) bool) {
		for _, a := range b.attempts {
			if a.Sale == id && !yield(a, nil) {
				return
			}
		}
	}
}

// Strays implements auditor.AllSales: the model has no row of a sale that is not.
func (b booksOf) Strays(context.Context, int) ([]ledger.RowKey, error) { return nil, nil }

// Sale implements auditor.AllSales.
func (b booksOf) Sale(_ context.Context, id sale.ID) (ledger.SaleRow, error) {
	of := b.sale(id)
	if of == nil {
		return ledger.SaleRow{}, ledger.ErrNotFound
	}
	return of.row, nil
}

// tapeOf is the model's streams, as an audit reads them.
type tapeOf struct{ *broker }

// Sales implements auditor.AllStreams.
func (b tapeOf) Sales(context.Context) ([]sale.ID, error) {
	return slices.Sorted(maps.Keys(b.sales)), nil
}

func (b tapeOf) Opening(_ context.Context, id sale.ID) (stream.Opening, error) { return b.opening(id) }

func (b tapeOf) Messages(_ context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		messages := b.sales[id].messages
		for n := first; n <= min(last, uint64(len(messages))); n++ {
			if !yield(messages[n-1], nil) {
				return
			}
		}
	}
}

func (b tapeOf) AttemptMessages(_ context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		of := b.attempts[id]
		if of == nil {
			yield(stream.Message{}, stream.ErrLost)
			return
		}
		messages := of.messages
		for n := first; n <= min(last, uint64(len(messages))); n++ {
			if !yield(messages[n-1], nil) {
				return
			}
		}
	}
}

func (b tapeOf) LastAttempt(_ context.Context, id sale.ID) (uint64, error) {
	of := b.attempts[id]
	if of == nil {
		return 0, stream.ErrLost
	}
	return uint64(len(of.messages)), nil
}
