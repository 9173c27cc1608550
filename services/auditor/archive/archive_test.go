//go:build unix

package archive

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/servicetest"
)

func audit(t *testing.T, l auditor.Ledger, streams auditor.Streams, id sale.ID) *auditor.Report {
	t.Helper()
	r, err := auditor.Audit(t.Context(), l, streams, id, auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnArchiveIsAuditedAsItsSaleIs(t *testing.T) {
	s := everything(t)
	file := s.export()
	if d := verified(t, file); d != nil {
		t.Error(d)
	}
	a := opened(t, file)
	live, offline := audit(t, s.ledger, s.streams, s.of.ID), audit(t, a, a, s.of.ID)
	if !live.Clean() || live.Holes != 1 || live.Unproved != 2 || live.Attempts != 4 || live.Unrecorded != 1 {
		t.Errorf("live %+v", live)
	}
	if !reflect.DeepEqual(live, offline) {
		t.Errorf("live    %+v\noffline %+v", live, offline)
	}
	want, err := s.ledger.Snapshot(t.Context(), s.of.ID)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Snapshot(t.Context(), s.of.ID)
	// What pgx gives in the time zone of the machine, an archive gives in UTC.
	// Nothing is beyond the cursor here.
	for _, p := range []*ledger.Snapshot{&want, &got} {
		p.Position.Mine, p.Beyond = false, nil
		p.Position.StreamCreated = p.Position.StreamCreated.UTC()
		for i := range p.Holes {
			p.Holes[i].FoundAt = p.Holes[i].FoundAt.UTC()
		}
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("snapshot %+v, %v\nwant     %+v", got, err, want)
	}
}

func TestExportImportExportGivesTheSameBytes(t *testing.T) {
	s := everything(t)
	file := s.export()
	if !bytes.Equal(file, s.export()) {
		t.Error("another export of the same sale gives other bytes")
	}
	again := func(file []byte, cut int) []byte {
		a, err := open(bytes.NewReader(file), int64(len(file)), cut)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Verify(t.Context(), nil); err != nil {
			t.Errorf("members of %d bytes: %v", cut, err)
		}
		if r := audit(t, a, a, s.of.ID); !r.Clean() {
			t.Errorf("members of %d bytes: %v", cut, r.Findings)
		}
		var out bytes.Buffer
		if _, err := write(t.Context(), &out, a, a, s.of.ID, nil, cut); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	if !bytes.Equal(file, again(file, chunkSize)) {
		t.Error("an export of the archive gives other bytes")
	}
	for _, cut := range []int{1, 100, 300} { // many members
		var out bytes.Buffer
		if _, err := write(t.Context(), &out, s.ledger, s.streams, s.of.ID, nil, cut); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), again(out.Bytes(), cut)) {
			t.Errorf("members of %d bytes: an export of the archive gives other bytes", cut)
		}
		if d := verified(t, out.Bytes()); d == nil {
			t.Errorf("members of %d bytes: nobody says that they end too early", cut)
		}
	}
}

// What the ledger has beside the history is in the archive too, and is found.
func TestAnArchiveOfATamperedSaleHasTheSameFindings(t *testing.T) {
	s := everything(t)
	for _, statement := range []string{
		`UPDATE decisions SET user_id = E'ev\\il\t\n\r' WHERE position = 2`,
		`UPDATE items SET code_id = gen_random_uuid() WHERE item_id = 1`,
		`INSERT INTO decisions (sale_id, position, reason, decided_at) VALUES (1, 1000, 1, now())`,
		`INSERT INTO commits (sale_id, generation, sequence, position, chain, packs, epoch) VALUES (1, 7, 1000, 9, '', '', 1)`,
		`UPDATE commits SET chain = '', packs = '' WHERE sequence = 4 AND generation = 1`,
		`UPDATE checkout_attempts SET user_param = E'\t' WHERE outcome = 'issued'`,
	} {
		if _, err := s.DB.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	file := s.export()
	if d := verified(t, file); d != nil {
		t.Error(d)
	}
	a := opened(t, file)
	live, offline := audit(t, s.ledger, s.streams, s.of.ID), audit(t, a, a, s.of.ID)
	if live.Total < 6 || !reflect.DeepEqual(live, offline) {
		t.Errorf("live    %+v\noffline %+v", live, offline)
	}
}

// A stream that was cut short is archived as it is.
func TestAnArchiveOfAShortStreamSaysSo(t *testing.T) {
	s := newStory(t, 2)
	s.publish(ask(1, 1, "ann"))
	s.decide(2)
	if _, err := s.DB.Exec(t.Context(), `UPDATE cursors SET sequence = 9`); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := Write(t.Context(), &file, s.ledger, s.streams, s.of.ID, nil); err != nil {
		t.Fatal(err)
	}
	a := opened(t, file.Bytes())
	live, offline := audit(t, s.ledger, s.streams, s.of.ID), audit(t, a, a, s.of.ID)
	if live.Clean() || !reflect.DeepEqual(live, offline) {
		t.Errorf("live    %+v\noffline %+v", live, offline)
	}
}

// meanwhile lets something happen after each thing that an export reads.
type meanwhile struct {
	auditor.Ledger
	auditor.Streams

	happens func()
}

func (m *meanwhile) Snapshot(ctx context.Context, id sale.ID) (ledger.Snapshot, error) {
	defer m.happens()
	return m.Ledger.Snapshot(ctx, id)
}

func (m *meanwhile) Recorded(ctx context.Context, id sale.ID) (ledger.Recorded, error) {
	defer m.happens()
	return m.Ledger.Recorded(ctx, id)
}

func (m *meanwhile) Commits(ctx context.Context, id sale.ID) iter.Seq2[ledger.CommitRow, error] {
	m.happens() // it yields what was committed since, too
	return m.Ledger.Commits(ctx, id)
}

func (m *meanwhile) Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return func(yield func(ledger.RecordedAttempt, error) bool) {
		m.Ledger.Attempts(ctx, id)(yield)
		m.happens()
	}
}

func (m *meanwhile) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		m.Streams.AttemptMessages(ctx, id, first, last)(yield)
		m.happens()
	}
}

func TestASaleUnderWayIsExportedUpToItsSnapshot(t *testing.T) {
	s := newStory(t, 30)
	n := byte(0)
	sell := func() {
		n++
		user, item := servicetest.User(int(n)), sale.ItemID(n)
		s.attempt(user, item, wire.Issued)
		s.record(min(int(n), 2)) // and the one that waits
		s.publish(ask(n, item, sale.UserID(user)))
		s.decide(uint64(n) + 1)
		s.attempt(user, item, wire.ItemTaken) // waits
	}
	sell()
	both := &meanwhile{s.ledger, s.streams, sell}
	var file bytes.Buffer
	m, err := Write(t.Context(), &file, both, both, s.of.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.Cursor.Sequence != 2 || m.Counts.Messages != 2 || m.Counts.Decisions != 1 || m.Counts.Commits != 1 || m.SoldOut() || n < 6 {
		t.Errorf("manifest %+v, %d were sold", m, n)
	}
	if d := verified(t, file.Bytes()); d != nil {
		t.Error(d)
	}
	a := opened(t, file.Bytes())
	if r := audit(t, a, a, s.of.ID); !r.Clean() || r.Sold != 1 || r.Unrecorded == 0 {
		t.Errorf("%+v", r)
	}
}

func TestAHoleFoundMeanwhileIsAnError(t *testing.T) {
	s := newStory(t, 3)
	s.publish(ask(1, 1, "ann"))
	s.decide(2)
	both := &meanwhile{s.ledger, s.streams, sync.OnceFunc(func() { s.lose(ask(2, 2, "bob")) })}
	if _, err := Write(t.Context(), &bytes.Buffer{}, both, both, s.of.ID, nil); !errors.Is(err, ErrMoved) {
		t.Errorf("error %v", err)
	}
}

func TestAnArchiveKnowsOneSaleOnly(t *testing.T) {
	s := newStory(t, 2)
	a := opened(t, s.export())
	const other = 77
	_, err := a.Snapshot(t.Context(), other)
	_, errOpening := a.Opening(t.Context(), other)
	_, errLast := a.LastAttempt(t.Context(), other)
	_, errRecorded := a.Recorded(t.Context(), other)
	errs := []error{err, errOpening, errLast, errRecorded}
	for _, err := range a.Decisions(t.Context(), other, 0, 9) {
		errs = append(errs, err)
	}
	for _, err := range a.Commits(t.Context(), other) {
		errs = append(errs, err)
	}
	for _, err := range a.Attempts(t.Context(), other) {
		errs = append(errs, err)
	}
	for _, err := range a.Messages(t.Context(), other, 1, 9) {
		errs = append(errs, err)
	}
	for _, err := range a.AttemptMessages(t.Context(), other, 1, 9) {
		errs = append(errs, err)
	}
	if len(errs) != 9 {
		t.Errorf("%d errors", len(errs))
	}
	for _, err := range errs {
		if !errors.Is(err, ledger.ErrNotFound) || !strings.Contains(err.Error(), "archive of sale 1") {
			t.Errorf("error %v", err)
		}
	}
}

func TestAnyStretchCanBeRead(t *testing.T) {
	s := everything(t)
	var file bytes.Buffer
	const cut = 1 // each record is a member
	if _, err := write(t.Context(), &file, s.ledger, s.streams, s.of.ID, nil, cut); err != nil {
		t.Fatal(err)
	}
	a := opened(t, file.Bytes())
	for first := range uint64(9) {
		for last := range uint64(9) {
			var got, want []uint64
			for m, err := range a.Messages(t.Context(), s.of.ID, first, last) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.Sequence)
			}
			for n := max(first, 1); n <= min(last, 6); n++ {
				want = append(want, n)
			}
			if !slices.Equal(got, want) {
				t.Errorf("messages %d to %d: %v, want %v", first, last, got, want)
			}
		}
	}
	for after := range int64(13) {
		for upTo := range int64(13) {
			var got, want []int64
			for d, err := range a.Decisions(t.Context(), s.of.ID, after, upTo) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, d.Position)
			}
			for d, err := range s.ledger.Decisions(t.Context(), s.of.ID, after, upTo) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, d.Position)
			}
			if !slices.Equal(got, want) {
				t.Errorf("decisions after %d up to %d: %v, want %v", after, upTo, got, want)
			}
		}
	}
}

func TestAFileIsThereWholeOrNotAtAll(t *testing.T) {
	s := everything(t)
	folder := t.TempDir()
	path := filepath.Join(folder, "sale.tar")
	var told [2]uint64
	m, err := Create(t.Context(), path, s.ledger, s.streams, s.of.ID, func(done, total uint64) { told = [2]uint64{done, total} })
	if err != nil {
		t.Fatal(err)
	}
	if told[0] == 0 || told[0] != told[1] {
		t.Errorf("progress ended at %v", told)
	}
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if got, err := a.Manifest(); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("manifest %+v, %v", got, err)
	}
	before, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, s.export()) {
		t.Errorf("the file is not what Write writes: %v", err)
	}
	if _, err := Create(t.Context(), path, a, a, s.of.ID, nil); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("over an existing file: %v", err)
	}
	if err := publish(filepath.Join(folder, "sale.tar"), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file came to be there meanwhile: %v", err)
	}
	if _, err := Create(t.Context(), filepath.Join(folder, "other.tar"), a, a, 77, nil); err == nil {
		t.Error("no error")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
