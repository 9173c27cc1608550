package simulation

import (
	"context"
	"errors"
	"slices"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// book is the model of the ledger: what Postgres would hold.
type book struct {
	service
	installation sale.UUID
	rules        int         // of the sales that open
	sales        []*bookSale // by number, from 1
	byCode       map[code.ID]allocation.Decision
	owners       map[sale.ItemID]code.ID
	alive        map[string]sale.Instant // allocator → expiry
	attempts     map[sale.UUID]ledger.RecordedAttempt
	recorded     map[wire.AttemptStream]ledger.AttemptCursor
	broken       []string     // constraints that a statement would have broken
	slow         sale.Instant // until then statements take up to three seconds
}

type bookSale struct {
	row       ledger.SaleRow
	pos       ledger.Position
	holder    string // of the cursor's fence
	lease     ledger.Lease
	leaseOf   string
	opened    bool
	decisions []allocation.Decision // by position
	commits   []commitRow
	holes     []allocation.Hole

	undecided  bool  // the holder does not know whether its last batch is committed
	restoredIn int64 // epoch in which an engine was made
}

type commitRow struct {
	generation int64
	sequence   uint64
	packs      []allocation.Mark
	cursor     allocation.Cursor
	epoch      int64
	at         sale.Instant
}

func newBook(w *world) *book {
	return &book{
		service: service{w: w, away: errors.New("simulated: the ledger does not answer")}, installation: sale.UUID{1}, rules: sale.RulesVersion, byCode: map[code.ID]allocation.Decision{},
		owners: map[sale.ItemID]code.ID{}, alive: map[string]sale.Instant{}, attempts: map[sale.UUID]ledger.RecordedAttempt{},
		recorded: map[wire.AttemptStream]ledger.AttemptCursor{},
	}
}

func (b *book) sale(id sale.ID) *bookSale {
	if id < 1 || int(id) > len(b.sales) {
		return nil
	}
	return b.sales[id-1]
}

// lag draws the extra time of a statement's way to a slow ledger, or back.
func (b *book) lag() time.Duration {
	if b.w.now >= b.slow {
		return 0
	}
	return b.w.between(0, 3*time.Second)
}

// bookOf is the ledger as the process of a name sees it. Its methods mean what the
// statements of pkg/ledger mean: the same conformance tests run over both.
type bookOf struct {
	*book

	name string
	by   *process // nil: statements take no time, and are never lost
}

// statement asks the ledger, which may be slow.
func statement[T any](ctx context.Context, b bookOf, name string, do func() (T, error)) (T, error) {
	if b.by == nil {
		return do()
	}
	return port(ctx, b.by, name, func() (T, error) {
		b.w.sleep(context.WithoutCancel(ctx), b.lag())
		x, err := lossy(b.by, &b.service, do)
		b.w.sleep(ctx, b.lag())
		return x, err
	})
}

// change is a statement without an answer.
func (b bookOf) change(ctx context.Context, name string, do func() error) error {
	_, err := statement(ctx, b, name, func() (none struct{}, err error) { return none, do() })
	return err
}

// The scheduler's statements.

func (b bookOf) Installation(ctx context.Context) (sale.UUID, error) {
	return statement(ctx, b, "installation", func() (sale.UUID, error) { return b.installation, nil })
}

func (b bookOf) OpenSlot(ctx context.Context, t ledger.Template) (bool, error) {
	return statement(ctx, b, "open-slot", func() (bool, error) {
		slot := b.w.now.Time().Truncate(t.Every)
		first := sale.ItemID(1)
		if n := len(b.sales); n > 0 {
			last := &b.sales[n-1].row.Sale
			if !slot.After(last.OpensAt) {
				return false, nil
			}
			first = last.LastItem() + 1
		}
		id := sale.ID(len(b.sales) + 1)
		b.sales = append(b.sales, &bookSale{row: ledger.SaleRow{State: sale.Preparing, Sale: sale.Sale{
			Installation: b.installation, UUID: sale.UUID{2, byte(id)}, ID: id, OpensAt: slot, Stock: t.Stock, UserLimit: t.UserLimit,
			FirstItem: first, Seed: t.Seed, Rules: b.rules,
		}}})
		return true, nil
	})
}

func (b bookOf) Adopt(context.Context, sale.Sale) error { panic("no ledger goes back here") }

func (b bookOf) Sales(ctx context.Context, before sale.ID, limit int) ([]ledger.SaleRow, error) {
	return statement(ctx, b, "sales", func() ([]ledger.SaleRow, error) {
		var rows []ledger.SaleRow
		for i := len(b.sales) - 1; i >= 0 && len(rows) < limit; i-- {
			if s := b.sales[i]; before == 0 || s.row.Sale.ID < before {
				row := s.row
				row.Sold = s.pos.Cursor.Sold
				rows = append(rows, row)
			}
		}
		return rows, nil
	})
}

func (b bookOf) MarkOpen(ctx context.Context, id sale.ID, genesis allocation.Cursor, created time.Time) error {
	return b.change(ctx, "mark-open", func() error {
		s := b.sale(id)
		if !s.opened {
			s.opened = true
			s.pos = ledger.Position{Cursor: genesis, StreamCreated: created.Truncate(time.Microsecond)}
		}
		if s.row.State == sale.Preparing {
			s.row.State = sale.Open
		}
		return nil
	})
}

func (b bookOf) NextSlot(ctx context.Context, every time.Duration) (time.Duration, error) {
	return statement(ctx, b, "next-slot", func() (time.Duration, error) {
		now := b.w.now.Time()
		return now.Truncate(every).Add(every).Sub(now), nil
	})
}

func (b bookOf) UnsoldSales(ctx context.Context) ([]sale.ID, error) {
	return statement(ctx, b, "unsold-sales", func() (ids []sale.ID, err error) {
		for _, s := range b.sales {
			if s.row.State == sale.Preparing || s.row.State == sale.Open {
				ids = append(ids, s.row.Sale.ID)
			}
		}
		return ids, nil
	})
}

// opening reports whether a sale has a row and is not open yet.
func (b *book) opening() bool {
	return slices.ContainsFunc(b.sales, func(s *bookSale) bool { return s.row.State == sale.Preparing })
}

// UnsoldParts: the model's stream of no sale is never followed by another.
func (b bookOf) UnsoldParts(ctx context.Context) ([]ledger.UnsoldPart, error) {
	return statement(ctx, b, "unsold-parts", func() ([]ledger.UnsoldPart, error) { return nil, nil })
}

// The allocators' statements.

func (b bookOf) Renew(ctx context.Context, ttl time.Duration) ([]ledger.Lease, error) {
	return statement(ctx, b, "renew", func() ([]ledger.Lease, error) {
		b.alive[b.name] = b.w.now + sale.Instant(ttl.Microseconds())
		var held []ledger.Lease
		for _, s := range b.sales {
			if s.leaseOf == b.name {
				held = append(held, s.lease)
			}
		}
		return held, nil
	})
}

func (b bookOf) Take(ctx context.Context, _ time.Duration, skip []sale.ID, limit int) ([]ledger.Lease, error) {
	return statement(ctx, b, "take", func() ([]ledger.Lease, error) {
		var taken []ledger.Lease
		for _, s := range b.sales {
			id := s.row.Sale.ID
			expiry, living := b.alive[s.leaseOf]
			free := s.leaseOf == "" || s.leaseOf != b.name && (!living || expiry < b.w.now)
			if s.row.State == sale.Preparing || !free || slices.Contains(skip, id) || len(taken) == limit {
				continue
			}
			if s.lease.Epoch > 0 {
				b.w.hit(EpochBumped)
			}
			if s.undecided {
				b.w.hit(TakeoverInBatch)
			}
			s.undecided = false
			s.lease = ledger.Lease{Sale: id, Epoch: s.lease.Epoch + 1}
			s.leaseOf, s.holder, s.pos.Epoch = b.name, b.name, s.lease.Epoch
			taken = append(taken, s.lease)
			b.w.note("lease "+b.name, int64(id), s.lease.Epoch)
		}
		return taken, nil
	})
}

func (b bookOf) Release(ctx context.Context, lease ledger.Lease) error {
	return b.change(ctx, "release", func() error {
		if s := b.sale(lease.Sale); s.lease == lease && s.leaseOf == b.name {
			s.leaseOf = ""
		}
		return nil
	})
}

func (b bookOf) OpenPositions(ctx context.Context, age time.Duration) (map[sale.ID]int64, error) {
	return statement(ctx, b, "open-positions", func() (map[sale.ID]int64, error) {
		positions := map[sale.ID]int64{}
		for _, s := range b.sales {
			if s.row.State == sale.Open && s.pos.Cursor.Now > b.w.now-sale.Instant(age.Microseconds()) {
				positions[s.row.Sale.ID] = s.pos.Cursor.Position
			}
		}
		return positions, nil
	})
}

func (b bookOf) Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error) {
	return statement(ctx, b, "sale", func() (ledger.SaleRow, error) {
		row := b.sale(id).row
		row.Sold = b.sale(id).pos.Cursor.Sold
		return row, nil
	})
}

func (b bookOf) Cursor(ctx context.Context, id sale.ID) (ledger.Position, error) {
	return statement(ctx, b, "cursor", func() (ledger.Position, error) { return b.cursor(id), nil })
}

// Settled is Cursor: no statement of the model is under way when another begins.
func (b bookOf) Settled(ctx context.Context, id sale.ID, _ int64) (ledger.Position, error) {
	return statement(ctx, b, "settled", func() (ledger.Position, error) { return b.cursor(id), nil })
}

func (b bookOf) cursor(id sale.ID) ledger.Position {
	pos := b.sale(id).pos
	pos.Mine = b.sale(id).holder == b.name
	return pos
}

func (b bookOf) DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) ([]allocation.Decision, error) {
	return statement(ctx, b, "decision-page", func() ([]allocation.Decision, error) {
		s := b.sale(id)
		if s.holder == b.name {
			s.restored(b.w, after > 0)
		}
		page := room[:0]
		for _, d := range s.decisions {
			if d.Position > after && d.Position <= upTo && len(page) < most {
				page = append(page, d)
			}
		}
		return page, nil
	})
}

// restored notes how the engine of an epoch was made.
func (s *bookSale) restored(w *world, warm bool) {
	if s.restoredIn != s.pos.Epoch && warm {
		w.hit(WarmTakeover)
	}
	s.restoredIn = s.pos.Epoch
}

func (b bookOf) Committed(ctx context.Context, id sale.ID, generation int64, sequence uint64, chain allocation.Hash) (bool, error) {
	return statement(ctx, b, "committed", func() (bool, error) {
		return slices.ContainsFunc(b.sale(id).commits, func(c commitRow) bool {
			return c.generation == generation && c.sequence == sequence && c.cursor.Chain == chain
		}), nil
	})
}

// Commit is the one statement: fenced, whole or not at all.
func (b bookOf) Commit(ctx context.Context, id sale.ID, epoch int64, batch *allocation.Batch) error {
	s := b.sale(id)
	s.undecided = true
	committed := false
	err := b.change(ctx, "commit", func() error {
		err := b.commit(s, epoch, batch)
		committed = err == nil
		return err
	})
	switch {
	case errors.Is(err, ledger.ErrFenced):
		b.w.hit(ZombieFenced)
		return err
	case committed && err != nil:
		b.w.hit(CommittedUnreported)
	case err == nil && len(batch.Replies) > len(batch.Decisions):
		b.w.hit(RepeatedCode)
	}
	s.undecided = err != nil
	return err
}

func (b bookOf) commit(s *bookSale, epoch int64, batch *allocation.Batch) error {
	c := &s.pos.Cursor
	if s.pos.Epoch != epoch || s.holder != b.name || c.Generation != batch.Before.Generation || c.Sequence != batch.Before.Sequence {
		return ledger.ErrFenced
	}
	s.restored(b.w, c.Position > 0)
	for i := range batch.Decisions {
		b.store(s, &batch.Decisions[i])
	}
	s.pos.Cursor = batch.After
	s.commits = append(s.commits, commitRow{
		generation: batch.After.Generation, sequence: batch.After.Sequence, packs: slices.Clone(batch.Packs), cursor: batch.After,
		epoch: epoch, at: b.w.now,
	})
	if batch.After.Sold > s.row.Sale.Stock {
		b.broken = append(b.broken, "I1: more sold than the stock")
	}
	if batch.After.Sold == s.row.Sale.Stock && s.row.State == sale.Open {
		s.row.State = sale.SoldOut
		b.w.hit(SoldOutReached)
	}
	if batch.After.Generation > 1 && len(batch.Decisions) > 0 {
		b.w.hit(GenerationContinued)
	}
	return nil
}

func (b *book) store(s *bookSale, d *allocation.Decision) {
	s.decisions = append(s.decisions, *d)
	if d.Code.IsZero() {
		return
	}
	if _, twice := b.byCode[d.Code]; twice {
		b.broken = append(b.broken, "I3: a code was decided twice")
	}
	b.byCode[d.Code] = *d
	switch d.Reason { //nolint:exhaustive // only these are counted
	case allocation.Granted:
		if _, twice := b.owners[d.Item]; twice {
			b.broken = append(b.broken, "I1: an item was sold twice")
		}
		b.owners[d.Item] = d.Code
	case allocation.LimitReached:
		b.w.hit(LimitReached)
	case allocation.CodeExpired:
		b.w.hit(CodeExpired)
	}
}

func (b bookOf) OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) error {
	return b.change(ctx, "open-generation", func() error {
		s := b.sale(id)
		if s.pos.Epoch != epoch || s.holder != b.name || s.pos.Cursor.Generation != h.Lost.Generation || s.pos.Cursor.Sequence != h.Lost.Sequence {
			return ledger.ErrFenced
		}
		s.holes = append(s.holes, *h)
		s.pos.Cursor = h.Reopen()
		b.w.hit(HoleOpened)
		return nil
	})
}

// Applied reports whether the message is the one last applied at the sequence.
func (b bookOf) Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (bool, error) {
	return statement(ctx, b, "applied", func() (bool, error) {
		s := b.sale(id)
		generation := int64(1)
		for _, h := range s.holes {
			if h.Resume() <= sequence {
				generation = max(generation, h.Generation)
			}
		}
		for _, c := range s.commits {
			if c.generation == generation && c.sequence >= sequence {
				back := c.sequence - sequence
				return back < uint64(len(c.packs)) && c.packs[uint64(len(c.packs))-1-back] == m, nil
			}
		}
		return false, nil
	})
}

// The edges' statements.

func (b bookOf) Verdicts(ctx context.Context, questions []ledger.Question, limits bool) ([]ledger.Verdict, error) {
	return statement(ctx, b, "verdicts", func() ([]ledger.Verdict, error) {
		verdicts := make([]ledger.Verdict, len(questions))
		for i := range questions {
			q := &questions[i]
			if d, recorded := b.byCode[q.Code]; recorded {
				verdicts[i].Decision = &d
			} else if of := b.named(q.Sale); of != nil {
				owner, taken := b.owners[q.Item]
				switch {
				case of.pos.Cursor.Sold == of.row.Sale.Stock:
					verdicts[i].Reason = allocation.SoldOut
				case limits && of.grantsOf(q.User) >= of.row.Sale.UserLimit:
					verdicts[i].Reason = allocation.LimitReached
				case taken && of.row.Sale.Contains(q.Item) && owner != q.Code:
					verdicts[i].Reason = allocation.ItemTaken
				}
			}
		}
		return verdicts, nil
	})
}

// named returns the sale of a UUID, if there is one.
func (b *book) named(id sale.UUID) *bookSale {
	for _, s := range b.sales {
		if s.row.Sale.UUID == id {
			return s
		}
	}
	return nil
}

func (s *bookSale) grantsOf(user sale.UserID) (n int) {
	for i := range s.decisions {
		if s.decisions[i].Reason == allocation.Granted && s.decisions[i].User == user {
			n++
		}
	}
	return n
}

func (b bookOf) SalesOf(ctx context.Context, uuids []sale.UUID, items []sale.ItemID) ([]ledger.SaleRow, error) {
	return statement(ctx, b, "sales-of", func() ([]ledger.SaleRow, error) {
		var rows []ledger.SaleRow
		for _, s := range b.sales {
			if slices.Contains(uuids, s.row.Sale.UUID) || slices.ContainsFunc(items, s.row.Sale.Contains) {
				rows = append(rows, s.row)
			}
		}
		return rows, nil
	})
}

// The recorders' statements.

func (b bookOf) AttemptCursor(ctx context.Context, of wire.AttemptStream) (ledger.AttemptCursor, error) {
	return statement(ctx, b, "attempt-cursor", func() (ledger.AttemptCursor, error) {
		at, known := b.recorded[of]
		if !known {
			return at, ledger.ErrNotFound
		}
		return at, nil
	})
}

var errHole = errors.New("simulated: attempts were recorded out of their order")

func (b bookOf) RecordAttempts(ctx context.Context, of wire.AttemptStream, from, to ledger.AttemptCursor, attempts []ledger.RecordedAttempt) (int64, error) {
	return statement(ctx, b, "record-attempts", func() (stored int64, err error) {
		if at, known := b.recorded[of]; known && at != from || !known && from.Sequence > 0 {
			return 0, ledger.ErrMoved
		}
		if to.Sequence <= from.Sequence {
			return 0, errHole
		}
		b.recorded[of] = to
		for _, a := range attempts {
			if _, repeated := b.attempts[a.ID]; repeated {
				b.w.hit(RecorderRepeated)
				continue
			}
			b.attempts[a.ID] = a
			stored++
		}
		return stored, nil
	})
}

func (b bookOf) ReopenAttempts(context.Context, wire.AttemptStream, ledger.AttemptCursor, sale.Instant) error {
	panic("no stream of attempts is lost here")
}

func (b bookOf) RemoveUnsold(context.Context, int, uint64, time.Time, time.Time, time.Duration) (bool, error) {
	panic("the stream of no sale is never followed by another here")
}
