//go:build unix

package arena

import (
	"context"
	"errors"
	"iter"

	"notsale/pkg/allocation"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// replay decides the stream again and compares decisions, chains and cursor
// with the ledger (I8), and looks that every request that the stream holds has
// its one decision.
//
// Of each generation, the messages that no later hole has lost are applied, on
// an engine that knows what was decided before the generation began.
func (au *auditor) replay() {
	au.t.Helper()
	messages := au.messages()
	if len(messages) == 0 {
		au.wrongf("replay", "the stream is empty")
		return
	}
	opening, err := wire.DecodeOpening(messages[0].Data)
	if err != nil || opening != au.of {
		au.wrongf("replay", "opening record %+v (%v), ledger %+v", opening, err, au.of)
		return
	}
	engine := allocation.New(opening, messages[0].Hash(), messages[0].Time)
	for g := range len(au.book.holes) + 1 {
		if g > 0 {
			if engine = au.reopen(&au.book.holes[g-1]); engine == nil {
				return
			}
		}
		end := uint64(len(messages))
		for _, later := range au.book.holes[g:] {
			end = min(end, later.matching)
		}
		for engine.Cursor().Sequence < end {
			au.apply(engine, &messages[engine.Cursor().Sequence])
		}
	}
	if got := engine.Cursor(); got != au.book.cursor {
		au.wrongf("cursor", "replayed %+v, ledger %+v", got, au.book.cursor)
	}
	if len(au.book.holes) == 0 && au.findings["replayed"] == 0 && au.replayed(engine) != len(au.book.decisions) {
		au.wrongf("replay", "%d decisions in the ledger, %d replayed", len(au.book.decisions), au.replayed(engine))
	}
}

// replayed is how many decisions of the ledger the replay has reached.
func (au *auditor) replayed(e *allocation.Engine) (n int) {
	for i := range au.book.decisions {
		if au.book.decisions[i].Position <= e.Cursor().Position {
			n++
		}
	}
	return n
}

// messages reads the sale's whole stream.
func (au *auditor) messages() (all []stream.Message) {
	au.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	c := au.Stream()
	info, err := c.Info(ctx, au.of.ID)
	if err != nil {
		au.t.Fatal(err)
	}
	for m, err := range c.Messages(ctx, au.of.ID, 1, info.Last) {
		if err != nil {
			au.t.Fatalf("%d of %d messages read: %v", len(all), info.Last, err)
		}
		all = append(all, m)
	}
	if uint64(len(all)) != info.Last {
		au.t.Fatalf("%d of %d messages read", len(all), info.Last)
	}
	return all
}

// apply decides one message and compares.
func (au *auditor) apply(engine *allocation.Engine, m *stream.Message) {
	au.t.Helper()
	batch := engine.Begin()
	edge, requests, err := wire.DecodePack(m.Data)
	if errors.Is(err, wire.ErrVersion) {
		au.t.Fatalf("message %d: %v", m.Sequence, err)
	}
	if err != nil {
		edge, requests = "", []allocation.Request{{}}
	}
	engine.Apply(allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Edge: edge, Requests: requests}, batch)
	for i := range batch.Decisions {
		au.compare(m.Sequence, &batch.Decisions[i])
	}
	for i := range requests {
		if id := requests[i].Code; !id.IsZero() && au.book.byCode[id] == nil {
			au.wrongf("in the stream and not decided", "message %d, code %v", m.Sequence, id)
		}
	}
	c := engine.Cursor()
	if row := au.book.commitAt(c.Generation, c.Sequence); row != nil && (row.chain != c.Chain || row.position != c.Position) {
		au.wrongf("chain", "generation %d, sequence %d: position %d, ledger %d", c.Generation, c.Sequence, c.Position, row.position)
	}
}

func (au *auditor) compare(sequence uint64, d *allocation.Decision) {
	au.t.Helper()
	if d.Code.IsZero() {
		return
	}
	if got := au.book.byCode[d.Code]; got == nil || *got != *d {
		au.wrongf("decision", "message %d: replayed %+v, ledger %+v", sequence, d, got)
	}
}

func (b *book) commitAt(generation int64, sequence uint64) *commitRow {
	for i := range b.commits {
		if c := &b.commits[i]; c.generation == generation && c.sequence == sequence {
			return c
		}
	}
	return nil
}

// reopen is an engine at the start of the generation that a hole opens.
func (au *auditor) reopen(h *holeRow) *allocation.Engine {
	au.t.Helper()
	if before := au.book.commitAt(h.generation-1, h.sequence); before != nil && before.chain != h.chain {
		au.wrongf("hole", "generation %d: its chain is not that of the commit before", h.generation)
	}
	if h.resume != h.matching+1 {
		au.wrongf("hole", "generation %d resumes at %d after %d", h.generation, h.resume, h.matching)
	}
	lost := allocation.Cursor{Generation: h.generation - 1, Sequence: h.sequence, Position: h.position, Chain: h.chain}
	for i := range au.book.decisions {
		if d := &au.book.decisions[i]; d.Position <= h.position {
			lost.Now = max(lost.Now, d.At)
			if d.Reason == allocation.Granted {
				lost.Sold++
			}
		}
	}
	if h.now < lost.Now { // later messages have later times, also those with repeats alone, which are in no row
		au.wrongf("hole", "generation %d: it ends at %v, and what was decided in it at %v", h.generation, h.now, lost.Now)
	}
	lost.Now = h.now
	engine, err := allocation.Restore(au.of, lost, au.before(h.position), 0)
	if err != nil {
		au.wrongf("hole", "generation %d: %v", h.generation, err)
		return nil
	}
	engine.Reopen(&allocation.Hole{Generation: h.generation, Matching: h.matching, Mark: au.markAt(h), Lost: lost})
	return engine
}

// markAt is what stood at the last matching message: it is in the stream still,
// unless a later hole took it.
func (au *auditor) markAt(h *holeRow) (m allocation.Mark) {
	if h.generation == au.book.cursor.Generation && h.matching == au.book.cursor.Sequence {
		return allocation.Mark{Time: au.book.cursor.PackTime, Hash: au.book.cursor.PackHash}
	}
	return m // replaced by the next message's
}

func (au *auditor) before(position int64) iter.Seq2[allocation.Decision, error] {
	return func(yield func(allocation.Decision, error) bool) {
		for _, d := range au.book.decisions {
			if d.Position <= position && !yield(d, nil) {
				return
			}
		}
	}
}
