package allocation_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// A recording is a sale's stream, with what was decided from it:
//
//	# what it shows
//	message 1 at 1767322800000000
//	{"v":1,"kind":"opening",…}
//	  position 0, sold 0, engine time 1767322800000000, chain 5f1c…
//	message 2 at 1767322801000000
//	{"v":1,"kind":"pack",…}
//	  1 00010000000000000000000000000000 item 101 user "ann": granted at 1767322801000000
//	  2 repeats 1: granted at 1767322801000000
//	  position 2, sold 1, engine time 1767322801000000, chain 88a3…
//	hole after 1
//	  position 2, …
//
// A message stands as it does in the stream, below its sequence and its
// timestamp in microseconds; one that is not a line of text is "quoted". A hole
// says which message is the last that is still as it was. Indented lines must
// come out, to the letter.
type recording struct {
	title  string
	events []event
}

// event is a message, or a hole that opens a generation.
type event struct {
	hole     bool
	sequence uint64 // of the message; of a hole: the last message that is still as it was
	at       sale.Instant
	data     []byte
}

// mark returns what the ledger keeps of the message.
func (e *event) mark() allocation.Mark {
	return allocation.Mark{Time: e.at, Hash: sha256.Sum256(e.data)}
}

// pack reads the message as an allocator does.
func (e *event) pack(t testing.TB) allocation.Pack {
	t.Helper()
	p, err := wire.ReadPack(e.sequence, e.at, e.data)
	if err != nil {
		t.Fatalf("%v: nothing is ever decided from it", err)
	}
	return p
}

// String writes the event as it stands in a recording.
func (e *event) String() string {
	text := string(e.data)
	switch {
	case e.hole:
		return fmt.Sprintf("hole after %d\n", e.sequence)
	case text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }):
		return fmt.Sprintf("message %d at %d quoted\n%q\n", e.sequence, e.at, text)
	}
	return fmt.Sprintf("message %d at %d\n%s\n", e.sequence, e.at, text)
}

func readRecording(t testing.TB, file string) (r recording, text string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	for i := 0; i < len(lines); i++ {
		line, e := lines[i], event{}
		switch {
		case line == "" || strings.HasPrefix(line, " "):
			continue
		case strings.HasPrefix(line, "# "):
			r.title = strings.TrimPrefix(line, "# ")
			continue
		case strings.HasPrefix(line, "hole "):
			e.hole = true
			_, err = fmt.Sscanf(line, "hole after %d", &e.sequence)
		default:
			_, err = fmt.Sscanf(line, "message %d at %d", &e.sequence, &e.at)
			i++
			e.data = []byte(lines[i])
			if strings.HasSuffix(line, " quoted") && err == nil {
				var plain string
				plain, err = strconv.Unquote(lines[i])
				e.data = []byte(plain)
			}
		}
		if err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
		r.events = append(r.events, e)
	}
	return r, string(raw)
}

// sale reads the opening record.
func (r *recording) sale(t testing.TB) sale.Sale {
	t.Helper()
	of, err := wire.DecodeOpening(r.events[0].data)
	if err != nil {
		t.Fatal(err)
	}
	return of
}

// replayed is what comes of a recording.
type replayed struct {
	text      string // the whole recording
	decisions []allocation.Decision
	lost      []allocation.Cursor // at which the holes were found
	cursor    allocation.Cursor
}

// replay decides the recording as its allocators did, under a version of the
// rules.
func (r *recording) replay(t testing.TB, rules int) replayed {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n", r.title)
	of, opening := r.sale(t), r.events[0].mark()
	of.Rules = rules
	engine := allocation.New(of, opening.Hash, opening.Time)
	marks := map[uint64]allocation.Mark{}
	var all replayed
	for i := range r.events {
		e := &r.events[i]
		out.WriteString(e.String())
		switch {
		case e.hole:
			lost := engine.Cursor()
			all.lost = append(all.lost, lost)
			engine.Reopen(&allocation.Hole{Generation: lost.Generation + 1, Matching: e.sequence, Mark: marks[e.sequence], Lost: lost})
		default:
			marks[e.sequence] = e.mark()
			if i == 0 {
				break
			}
			p, b := e.pack(t), engine.Begin()
			engine.Apply(p, b)
			all.decisions = append(all.decisions, b.Decisions...)
			writeDecisions(&out, b)
		}
		c := engine.Cursor()
		fmt.Fprintf(&out, "  position %d, sold %d, engine time %d, chain %x\n", c.Position, c.Sold, c.Now, c.Chain)
	}
	all.text, all.cursor = out.String(), engine.Cursor()
	return all
}

// writeDecisions writes a line for each position of a batch of one pack.
func writeDecisions(out *strings.Builder, b *allocation.Batch) {
	decisions := b.Decisions
	for position := b.Before.Position + 1; position <= b.After.Position; position++ {
		if len(decisions) == 0 || decisions[0].Position != position {
			reply := b.Replies[position-b.Before.Position-1]
			fmt.Fprintf(out, "  %d repeats %d: %v at %d\n", position, reply.Decision.Position, reply.Decision.Reason, reply.Decision.At)
			continue
		}
		d := &decisions[0]
		fmt.Fprintf(out, "  %d %v item %d user %q: %v at %d\n", d.Position, d.Code, d.Item, d.User, d.Reason, d.At)
		decisions = decisions[1:]
	}
}

// audit replays what is left of the stream as an audit does, which takes the
// decisions of lost messages from the ledger.
func (r *recording) audit(t testing.TB, ledger replayed) (decisions []allocation.Decision, c allocation.Cursor) {
	t.Helper()
	stream, holes := map[uint64]*event{}, []*event{}
	for i := range r.events {
		e := &r.events[i]
		if !e.hole {
			stream[e.sequence] = e
			continue
		}
		holes = append(holes, e)
		maps.DeleteFunc(stream, func(sequence uint64, _ *event) bool { return sequence > e.sequence })
	}
	engine := allocation.New(r.sale(t), stream[1].mark().Hash, stream[1].at)
	apply := func(last uint64) {
		b := engine.Begin()
		for next := engine.Cursor().Sequence + 1; next <= last; next++ {
			engine.Apply(stream[next].pack(t), b)
		}
		decisions = append(decisions, b.Decisions...)
	}
	for i, h := range holes {
		matching, lost := h.sequence, ledger.lost[i]
		for _, later := range holes[i:] {
			matching = min(matching, later.sequence)
		}
		apply(matching)
		var unproved []allocation.Decision
		for _, d := range ledger.decisions {
			if d.Position > engine.Cursor().Position && d.Position <= lost.Position {
				unproved = append(unproved, d)
			}
		}
		if err := engine.Extend(lost, each(unproved)); err != nil {
			t.Fatal(err)
		}
		decisions = append(decisions, unproved...)
		engine.Reopen(&allocation.Hole{Generation: lost.Generation + 1, Matching: h.sequence, Mark: stream[h.sequence].mark(), Lost: lost})
	}
	apply(uint64(len(stream)))
	return decisions, engine.Cursor()
}
