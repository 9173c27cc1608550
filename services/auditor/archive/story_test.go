//go:build unix

package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/servicetest"
)

// story is a sale in a real ledger and real streams.
type story struct {
	*servicetest.Stage

	t       *testing.T
	of      sale.Sale
	ledger  *ledger.Ledger
	streams *stream.Client
	epoch   int64
	engine  *allocation.Engine

	attempts byte                 // made so far, for their ids
	recorded ledger.AttemptCursor // of their stream
}

// newStory opens a sale and holds its lease.
func newStory(t *testing.T, stock int) *story {
	t.Helper()
	s := &story{Stage: servicetest.New(t), t: t}
	s.of = s.OpenSale(stock, 2)
	s.ledger, s.streams = s.Ledger("archivist"), s.Stream("archivist")
	leases, err := s.ledger.Take(t.Context(), time.Hour, nil, 1)
	if err != nil || len(leases) != 1 {
		t.Fatalf("leases %v, %v", leases, err)
	}
	s.epoch = leases[0].Epoch
	opening, err := s.streams.Opening(t.Context(), s.of.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.engine = allocation.New(s.of, opening.Message.Hash(), opening.Message.Time)
	return s
}

// everything is a sale with some of everything: all reasons, what nobody can
// read, a repeat, a hole with lost decisions in it, attempts of which one waits
// to be recorded, and texts that have to be escaped.
func everything(t *testing.T) *story {
	t.Helper()
	s := newStory(t, 4)
	s.publish(ask(1, 1, "ann"), ask(2, 1, "bob"), ask(1, 1, "ann"))
	s.publish(ask(3, 2, "ann"))
	s.raw([]byte("not a pack\t\\\n"))
	s.decide(2, 3, 4)
	s.lose(ask(4, 3, "ann"), ask(5, 3, "carl"))
	s.publish(ask(6, 3, "dora"), stale(7, 4, "dora"), ask(8, 4, "eve"))
	s.decide(5)
	s.publish(ask(9, 4, "fred"))
	s.decide(6)
	s.attempt("ann", 1, wire.Issued)
	s.attempt("a\\b", 1, wire.InvalidParameter)
	s.attempt("bob", 1, wire.ItemTaken)
	s.record(3)
	s.attempt("late", 2, wire.Issued)
	return s
}

func ask(number byte, item sale.ItemID, user sale.UserID) allocation.Request {
	return allocation.Request{Number: uint64(number), Code: code.ID{number}, Item: item, User: user, Expires: sale.Instant(1e17)}
}

func stale(number byte, item sale.ItemID, user sale.UserID) allocation.Request {
	r := ask(number, item, user)
	r.Expires = 1
	return r
}

func (s *story) publish(requests ...allocation.Request) {
	s.t.Helper()
	s.raw(wire.AppendPack(nil, "edge-1", requests))
}

func (s *story) raw(data []byte) {
	s.t.Helper()
	if err := s.streams.PublishPack(s.t.Context(), s.of.ID, data); err != nil {
		s.t.Fatal(err)
	}
}

// decide applies the messages and commits them together.
func (s *story) decide(sequences ...uint64) {
	s.t.Helper()
	b := s.engine.Begin()
	for _, sequence := range sequences {
		m, err := s.streams.Message(s.t.Context(), s.of.ID, sequence)
		if err != nil {
			s.t.Fatal(err)
		}
		p, err := wire.ReadPack(m.Sequence, m.Time, m.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		s.engine.Apply(p, b)
	}
	s.commit(b)
}

func (s *story) commit(b *allocation.Batch) {
	s.t.Helper()
	if err := s.ledger.Commit(s.t.Context(), s.of.ID, s.epoch, b); err != nil {
		s.t.Fatal(err)
	}
}

// lose commits a pack that the stream does not keep, and opens a generation.
func (s *story) lose(requests ...allocation.Request) {
	s.t.Helper()
	matching := s.engine.Cursor()
	m := stream.Message{Sequence: matching.Sequence + 1, Time: matching.Now + 5, Data: []byte("lost")}
	b := s.engine.Begin()
	s.engine.Apply(allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Requests: requests}, b)
	s.commit(b)
	h := &allocation.Hole{
		Generation: 2, Matching: matching.Sequence, Lost: s.engine.Cursor(),
		Mark: allocation.Mark{Time: matching.PackTime, Hash: matching.PackHash},
	}
	if err := s.ledger.OpenGeneration(s.t.Context(), s.of.ID, s.epoch, h); err != nil {
		s.t.Fatal(err)
	}
	s.engine.Reopen(h)
}

// attempt publishes an attempt in a message of its own. Ids go down, so that
// their order is not that of the stream.
func (s *story) attempt(user string, item sale.ItemID, outcome wire.Outcome) {
	s.t.Helper()
	s.attempts++
	a := wire.Attempt{ID: sale.UUID{255 - s.attempts}, At: sale.InstantOf(time.Now()), Sale: s.of.ID, User: user, Item: item.String(), Outcome: outcome}
	if outcome == wire.Issued {
		a.Code, a.Expires = code.ID{s.attempts, 1}, a.At+1
	}
	if err := s.streams.PublishAttempts(s.t.Context(), s.of.ID, wire.AppendAttempts(nil, "edge-1", []wire.Attempt{a})); err != nil {
		s.t.Fatal(err)
	}
}

// record records the next messages of attempts, as a recorder does.
func (s *story) record(messages int) {
	s.t.Helper()
	of := wire.AttemptStream{Sale: s.of.ID}
	info, err := s.streams.AttemptInfo(s.t.Context(), of)
	if err != nil {
		s.t.Fatal(err)
	}
	s.recorded.Created = sale.InstantOf(info.Created)
	for range messages {
		m, err := s.streams.AttemptMessage(s.t.Context(), of, s.recorded.Sequence+1)
		if err != nil {
			s.t.Fatal(err)
		}
		edge, list, err := wire.DecodeAttempts(m.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		to := ledger.AttemptCursor{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Created: s.recorded.Created}
		if _, err := s.ledger.RecordAttempts(s.t.Context(), of, s.recorded, to, []ledger.RecordedAttempt{{Attempt: list[0], Edge: edge}}); err != nil {
			s.t.Fatal(err)
		}
		s.recorded = to
	}
}

// export returns the sale's archive.
func (s *story) export() []byte {
	s.t.Helper()
	var file bytes.Buffer
	m, err := Write(s.t.Context(), &file, s.ledger, s.streams, s.of.ID, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if m.Number != s.of.ID || m.Cursor != cursorOf(s.engine.Cursor()) {
		s.t.Errorf("manifest %+v", m)
	}
	return file.Bytes()
}

func cursorOf(c allocation.Cursor) Cursor {
	return Cursor{
		Generation: c.Generation, Sequence: c.Sequence, Position: c.Position, Sold: c.Sold,
		Chain: Sum(c.Chain), PackHash: Sum(c.PackHash), PackTime: c.PackTime, EngineTime: c.Now,
	}
}

// opened opens an archive in memory.
func opened(t testing.TB, file []byte) *Archive {
	t.Helper()
	a, err := open(bytes.NewReader(file), int64(len(file)), chunkSize)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// verified returns the damage of an archive in memory, nil if there is none.
func verified(t testing.TB, file []byte) *DamageError {
	t.Helper()
	err := opened(t, file).Verify(t.Context(), nil)
	d, _ := errors.AsType[*DamageError](err)
	if err != nil && (d == nil || !errors.Is(err, ErrDamaged)) {
		t.Fatal(err)
	}
	return d
}

// part is a part of an archive.
type part string

const (
	header  part = "header"
	content part = "content"
	padding part = "padding" // after a member's content, up to the next block
	end     part = "end"     // of the tar
)

// region is where a part is.
type region struct {
	member   string
	part     part
	from, to int // offsets
}

// regions splits an intact archive.
func regions(t testing.TB, file []byte) (all []region) {
	t.Helper()
	a := opened(t, file)
	for _, m := range a.members {
		at, last := int(m.at), int(m.at+m.size)
		all = append(all, region{m.name, header, at - block, at}, region{m.name, content, at, last}, region{m.name, padding, last, int(m.end())})
	}
	all = append(all, region{"", end, int(a.end()), len(file)})
	return slices.DeleteFunc(all, func(r region) bool { return r.from == r.to })
}

// rebuilt writes the members anew, with sums that fit, after change has changed
// a section's text.
func rebuilt(t testing.TB, file []byte, section string, change func(text []byte) []byte) []byte {
	t.Helper()
	return rebuiltWith(t, file, section, change, func(*Member) {})
}

// rebuiltWith is rebuilt, and changes what the manifest says of each member.
func rebuiltWith(t testing.TB, file []byte, section string, change func(text []byte) []byte, say func(*Member)) []byte {
	t.Helper()
	a := opened(t, file)
	enc, err := compressor()
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var out bytes.Buffer
	e := export{out: tar.NewWriter(&out), manifest: a.manifest}
	e.manifest.Members = nil
	for i := range a.manifest.Members {
		m := &a.members[i]
		stored := file[m.at : m.at+m.size]
		plain := stored
		if m.name != readmeName {
			if plain, err = decompress(stored); err != nil {
				t.Fatal(err)
			}
		}
		if sectionOf(m.name) == section {
			plain = change(slices.Clone(plain))
			stored = enc.EncodeAll(plain, nil)
		}
		if err := e.member(m.name, stored, plain, m.said.Records, m.said.First); err != nil {
			t.Fatal(err)
		}
		say(&e.manifest.Members[i])
	}
	if err := e.finish(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
