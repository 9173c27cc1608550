package ledger_test

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

func attempt(n byte, outcome wire.Outcome) ledger.RecordedAttempt {
	a := ledger.RecordedAttempt{Edge: "edge-1", Attempt: wire.Attempt{
		ID: sale.UUID{n}, At: genesisAt, Sale: 1, User: "ann", Item: "1000", Outcome: outcome,
	}}
	if outcome == wire.Issued {
		a.Code, a.Expires = codeOf(1, int(n)), genesisAt+1
	}
	return a
}

// ofOne is the stream of sale 1's attempts.
var ofOne = wire.AttemptStream{Sale: 1}

// tape stands where a recorder does: it has read a stream of attempts up to at.
type tape struct {
	t      *testing.T
	ledger *ledger.Ledger
	of     wire.AttemptStream
	at     ledger.AttemptCursor
}

// after is where the cursor stands after the next message.
func (p *tape) after() ledger.AttemptCursor {
	to := ledger.AttemptCursor{Sequence: p.at.Sequence + 1, Time: genesisAt + sale.Instant(p.at.Sequence) + 1, Created: genesisAt}
	to.Hash[0] = byte(to.Sequence)
	return to
}

// record stores the attempts of the next message.
func (p *tape) record(attempts ...ledger.RecordedAttempt) (stored int64) {
	p.t.Helper()
	p.at.Created = genesisAt
	to := p.after()
	stored, err := p.ledger.RecordAttempts(p.t.Context(), p.of, p.at, to, attempts)
	if err != nil {
		p.t.Fatal(err)
	}
	p.at = to
	return stored
}

func TestAttemptsAreStoredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "recorder")
	p := &tape{t: t, ledger: l, of: ofOne}
	changed := attempt(1, wire.Issued)
	changed.User = "eve"
	for _, c := range []struct {
		name     string
		attempts []ledger.RecordedAttempt
		stored   int64
	}{
		{"none", nil, 0},
		{"two", []ledger.RecordedAttempt{attempt(1, wire.Issued), attempt(2, wire.SoldOut)}, 2},
		{"the same two", []ledger.RecordedAttempt{attempt(1, wire.Issued), attempt(2, wire.SoldOut)}, 0},
		{"an old one and a new one", []ledger.RecordedAttempt{attempt(2, wire.SoldOut), attempt(3, wire.UnknownItem)}, 1},
		{"a new one three times", []ledger.RecordedAttempt{attempt(4, wire.Issued), attempt(4, wire.Issued), attempt(4, wire.Issued)}, 1},
		{"an old one with other content", []ledger.RecordedAttempt{changed}, 0},
	} {
		if stored := p.record(c.attempts...); stored != c.stored {
			t.Errorf("%s: %d stored, want %d", c.name, stored, c.stored)
		}
	}
	for query, want := range map[string]string{
		`SELECT string_agg(outcome, ' ' ORDER BY attempt_id) FROM checkout_attempts`:                          "issued sold-out unknown-item issued",
		`SELECT string_agg(DISTINCT user_param || item_param || edge || sale_id, ' ') FROM checkout_attempts`: "ann1000edge-11",
		`SELECT count(*)::text FROM checkout_attempts WHERE (outcome = 'issued') = (code_id IS NULL)`:         "0",
		`SELECT count(*)::text FROM checkout_attempts WHERE (outcome = 'issued') = (expires_at IS NULL)`:      "0",
	} {
		if got := w.one(t, query); got != want {
			t.Errorf("%s\ngives %s, want %s", query, got, want)
		}
	}
	if at, err := l.AttemptCursor(t.Context(), ofOne); err != nil || at != p.at {
		t.Errorf("the cursor is %+v, %v, want %+v", at, err, p.at)
	}
}

// Whatever a shopper sends, its printable form can be stored.
func TestHostileParametersAreStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "recorder")
	hostile := "'; DROP TABLE sales; --\x00\xff\n{\"}"
	a := attempt(1, wire.InvalidParameter)
	a.Sale, a.User, a.Item = 0, wire.Printable(hostile), wire.Printable("")
	if stored := (&tape{t: t, ledger: l}).record(a); stored != 1 {
		t.Fatalf("%d stored", stored)
	}
	if got := w.one(t, `SELECT user_param FROM checkout_attempts`); got != a.User {
		t.Errorf("stored %q, want %q", got, a.User)
	}
}

// A recorder whose cursor is not the ledger's writes nothing: neither rows nor
// the cursor.
func TestAttemptsAreRecordedFromTheCursorOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "recorder")
	p := &tape{t: t, ledger: l, of: ofOne}
	p.record(attempt(1, wire.SoldOut))
	before := w.dump(t)
	for name, change := range map[string]func(*ledger.AttemptCursor){
		"nothing":        func(c *ledger.AttemptCursor) { *c = ledger.AttemptCursor{Created: c.Created} },
		"less":           func(c *ledger.AttemptCursor) { c.Sequence-- },
		"more":           func(c *ledger.AttemptCursor) { c.Sequence++ },
		"another time":   func(c *ledger.AttemptCursor) { c.Time++ },
		"other bytes":    func(c *ledger.AttemptCursor) { c.Hash[31]++ },
		"another stream": func(c *ledger.AttemptCursor) { c.Created++ },
	} {
		from := p.at
		change(&from)
		if _, err := l.RecordAttempts(t.Context(), ofOne, from, p.after(), []ledger.RecordedAttempt{attempt(2, wire.SoldOut)}); !errors.Is(err, ledger.ErrMoved) {
			t.Errorf("%s: %v, want ErrMoved", name, err)
		}
		if err := l.ReopenAttempts(t.Context(), ofOne, from, genesisAt); !errors.Is(err, ledger.ErrMoved) {
			t.Errorf("%s, reopened: %v, want ErrMoved", name, err)
		}
	}
	if _, err := l.RecordAttempts(t.Context(), wire.AttemptStream{Sale: 2}, p.at, p.after(), nil); !errors.Is(err, ledger.ErrMoved) {
		t.Errorf("a stream of which the ledger knows nothing any more: %v, want ErrMoved", err)
	}
	if after := w.dump(t); !maps.EqualFunc(before, after, slices.Equal[[]string]) {
		t.Errorf("something was written:\n%v\n%v", before, after)
	}
}

// Of many recorders that read the same messages one stores them.
func TestOneOfManyRecordersMovesTheCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "recorder")
	p := &tape{t: t, ledger: l, of: ofOne}
	for round := byte(1); round <= 5; round++ { // the first finds no row of the cursor
		p.at.Created = genesisAt
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = l.RecordAttempts(t.Context(), ofOne, p.at, p.after(), []ledger.RecordedAttempt{attempt(round, wire.SoldOut)})
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, ledger.ErrMoved) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("round %d: %d of %d have stored it", round, won, len(errs))
		}
		p.at = p.after()
	}
	if n := w.one(t, `SELECT count(*)::text FROM checkout_attempts`); n != "5" {
		t.Errorf("%s rows, want 5", n)
	}
}

// A stream that has lost its tail is read again from its beginning, and where it
// stood is kept.
func TestReopenAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "recorder")
	p := &tape{t: t, ledger: l, of: ofOne}
	p.record(attempt(1, wire.SoldOut))
	p.record(attempt(2, wire.SoldOut))
	stood := p.at
	if err := l.ReopenAttempts(t.Context(), ofOne, p.at, genesisAt+7); err != nil {
		t.Fatal(err)
	}
	at, err := l.AttemptCursor(t.Context(), ofOne)
	if want := (ledger.AttemptCursor{Created: genesisAt + 7}); err != nil || at != want {
		t.Errorf("the cursor is %+v, %v, want %+v", at, err, want)
	}
	if n := w.one(t, `SELECT count(*)::text FROM attempt_holes WHERE sale_id = 1 AND sequence = 2 AND get_byte(message_hash, 0) = 2`); n != "1" {
		t.Errorf("%s holes", n)
	}
	r, err := l.Recorded(t.Context(), 1)
	if err != nil || r.Own != 0 || r.Gone != stood.Time {
		t.Errorf("%+v, %v, want none, and attempts gone up to %v", r, err, stood.Time)
	}
	again := p.after()
	again.Sequence, again.Created = 1, genesisAt+7
	if stored, err := l.RecordAttempts(t.Context(), ofOne, at, again, []ledger.RecordedAttempt{attempt(1, wire.SoldOut), attempt(3, wire.SoldOut)}); err != nil || stored != 1 {
		t.Errorf("%d stored, %v, want the one that is new", stored, err)
	}
}

// A part of the streams of no sale is removed if it is recorded to its end, long
// enough ago by two clocks that agree.
func TestOldPartsAreRemovedOnlyWhenRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	p := &tape{t: t, ledger: l, of: wire.AttemptStream{Part: 3}}
	p.record(attempt(1, wire.UnknownItem))
	const horizon = time.Hour
	now, created := time.Now(), genesisAt.Time()
	age := func(recorded, stored string) {
		w.exec(t, `UPDATE attempt_cursors SET recorded_at = clock_timestamp() - $1::interval, message_time = clock_timestamp() - $2::interval`, recorded, stored)
	}
	remove := func(what string, want bool, last uint64, created, now time.Time) {
		t.Helper()
		if may, err := l.RemoveUnsold(t.Context(), 3, last, created, now, horizon); err != nil || may != want {
			t.Errorf("%s: %v, %v, want %v", what, may, err, want)
		}
	}
	age("1 minute", "2 hours")
	remove("recorded a moment ago, after a long time", false, 1, created, now)
	age("2 hours", "1 minute")
	remove("an old recording of a young message", false, 1, created, now)
	age("2 hours", "2 hours")
	remove("more messages than are recorded", false, 2, created, now)
	remove("another stream of the name", false, 1, created.Add(time.Second), now)
	remove("NATS's clock a year ahead", false, 1, created, now.AddDate(1, 0, 0))
	remove("NATS's clock behind", false, 1, created, now.Add(-2*time.Minute))
	if parts, err := l.UnsoldParts(t.Context()); err != nil || len(parts) != 1 || parts[0] != (ledger.UnsoldPart{Part: 3}) {
		t.Errorf("%+v, %v", parts, err)
	}
	remove("recorded, and old", true, 1, created, now)
	remove("again", true, 1, created, now)
	if parts, err := l.UnsoldParts(t.Context()); err != nil || len(parts) != 1 || parts[0] != (ledger.UnsoldPart{Part: 3, Removed: true}) {
		t.Errorf("%+v, %v", parts, err)
	}
	if r, err := l.Recorded(t.Context(), 0); err != nil || r.Parts[3] != 1 || r.Gone == 0 || !r.Has(wire.AttemptStream{Part: 3}.Number(1)) || r.Has(wire.AttemptStream{Part: 4}.Number(1)) {
		t.Errorf("%+v, %v", r, err)
	}
}

// Attempts are read in pages: a reader that stands still, because a disk is slow or
// a sale has millions of them, keeps no statement running that the server would end.
func TestAttemptsAreReadInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, name := w.open(t, "reader")
	const attempts = 12_000 // of a kilobyte: more than sockets hold
	w.exec(t, `INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, edge)
		SELECT lpad(to_hex(n), 32, '0')::uuid, 1 + n % 2, now(), repeat('u', 1000), n::text, 'sold-out', 'edge' FROM generate_series(1, $1) AS n`, attempts)
	read, last := 0, ""
	for a, err := range l.Attempts(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if id := a.ID.String(); id <= last || a.Sale != 1 {
			t.Fatalf("attempt %s of sale %d after %s", id, a.Sale, last)
		} else {
			last = id
		}
		if read++; read == 1 {
			eventually(t, "no statement runs while the reader stands still", func() error {
				if state := w.one(t, `SELECT state FROM pg_stat_activity WHERE application_name = $1 AND query LIKE 'FETCH%'`, name); state != "idle in transaction" {
					return errors.New(state)
				}
				return nil
			})
		}
	}
	if read != attempts/2 {
		t.Errorf("%d attempts were read, want %d", read, attempts/2)
	}
	for range l.Attempts(t.Context(), 1) { // a reader may leave
		break
	}
	if n := w.one(t, `SELECT count(*)::text FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle'`, name); n != "0" {
		t.Errorf("%s sessions are still busy", n)
	}
}
