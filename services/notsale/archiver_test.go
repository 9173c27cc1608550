//go:build unix

package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/sale"
	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/auditor/archive"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// archiver is one that looks for sales which have just been sold out.
func (f *front) archiver(t *testing.T, name, folder string, after time.Duration, change ...func(*archiver.Waits)) *archiver.Archiver {
	t.Helper()
	waits := archiver.WaitsOf(time.Hour)
	waits.Look, waits.Quiet = time.Millisecond, 10*time.Millisecond
	for _, to := range change {
		to(&waits)
	}
	cfg := archiver.Config{To: folder, After: after, Waits: waits}
	a, err := archiver.New(cfg, name, f.Ledger(name), f.Stream(name), f.Log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// state may be asked again and again: it opens no ledger.
func (f *front) state(t *testing.T, id sale.ID) (state sale.State) {
	t.Helper()
	if err := f.DB.QueryRow(t.Context(), `SELECT state FROM sales WHERE sale_id = $1`, int64(id)).Scan(&state); err != nil {
		t.Fatal(err)
	}
	return state
}

// Sold-out sales are archived by age, one at a time, by whoever holds the lease;
// others are left, and what was granted is told again.
func TestSoldOutSalesAreArchivedByAge(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	old, open := f.OpenSale(2, 1), f.OpenSale(5, 1)
	before := f.Hire(t, "before")
	customers := f.SellOut(t, old)
	servicetest.Eventually(t, "the sale is sold out", func() bool { return f.state(t, old.ID) == sale.SoldOut })
	folder := t.TempDir()
	turn := func(what string, a *archiver.Archiver, want bool) {
		t.Helper()
		if worked, err := a.Turn(t.Context()); err != nil || worked != want {
			t.Errorf("%s: archived something: %v, %v, want %v", what, worked, err, want)
		}
	}
	turn("too young", f.archiver(t, "young", folder, time.Hour), false)
	if err := f.Ledger("young").ReleaseArchiving(t.Context(), "young"); err != nil {
		t.Fatal(err)
	}
	holder, other := f.archiver(t, "holder", folder, 0), f.archiver(t, "other", folder, 0)
	turn("the holder", holder, true)
	turn("another, while the lease is held", other, false)
	turn("nothing is left", holder, false)
	if state := f.state(t, open.ID); state != sale.Open {
		t.Errorf("the sale that still sells is %v", state)
	}
	file, err := archive.Open(filepath.Join(folder, archiver.FileName(old.ID)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if r, err := auditor.Audit(t.Context(), file, file, old.ID, auditor.Options{}); err != nil || !r.Clean() || r.Sold != 2 {
		t.Errorf("the archive: %+v, %v", r, err)
	}
	ids, err := f.Stream("looker").Sales(t.Context())
	if err != nil || len(ids) != 1 || ids[0] != open.ID {
		t.Errorf("streams of sales %v, %v, want only that of %d", ids, err, open.ID)
	}
	for _, c := range customers {
		if c.First.Status == http.StatusOK { // another true reason may refuse the others by now
			edgetest.Same(t, c.What, edgetest.Answered(t, f.Shop, c.Code), c.First)
		}
	}
	before.Content()

	// A lease that ends in a year is none.
	if _, err := f.DB.Exec(t.Context(), `UPDATE archiver_lease SET holder = 'dead', expires_at = clock_timestamp() + interval '1 year'`); err != nil {
		t.Fatal(err)
	}
	if held, err := f.Ledger("other").HoldArchiving(t.Context(), "other", time.Minute); err != nil || !held {
		t.Errorf("a lease that ends in a year is believed: %v, %v", held, err)
	}
}

// An archiver that died at any step leaves a sale that the next one finishes, and
// does not begin again.
func TestAnInterruptedArchiverIsFollowed(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := []sale.Sale{f.OpenSale(2, 1), f.OpenSale(2, 1)}
	before := f.Hire(t, "before") // later, lest its scheduler opens a sale of this slot
	defer before.Stop()
	for i := range of {
		f.SellOut(t, of[i])
		servicetest.Eventually(t, "the sale is sold out", func() bool { return f.state(t, of[i].ID) == sale.SoldOut })
	}
	folder := t.TempDir()
	// The first was sealed when its archiver died, the second finished and its
	// streams left.
	sealed := f.archiving(t, of[0])
	sealed.run(3)
	removing, cancel := context.WithCancel(t.Context())
	_, err := archiver.Archive(removing, archiver.Task{
		Sale: of[1].ID, Path: filepath.Join(folder, archiver.FileName(of[1].ID)), Stores: archiver.Stores{Ledger: sealed.ledger, Streams: sealed.stream},
		Wait: func(context.Context) error {
			if f.state(t, of[1].ID) == sale.Archiving { // about to export, and to verify
				if _, err := os.Stat(filepath.Join(folder, archiver.FileName(of[1].ID))); err == nil {
					cancel()
				}
			}
			return nil
		},
	})
	if err == nil {
		t.Fatal("the archiver was not interrupted")
	}
	left := make([]string, 3) // by a kill in the middle of the export, by one that goes on, and by what copies into the folder
	for i := range left {
		file, err := archive.Temporary(filepath.Join(folder, archiver.FileName(of[0].ID)))
		if err != nil {
			t.Fatal(err)
		}
		left[i] = file.Name()
		_ = file.Close()
	}
	copied := filepath.Join(folder, "."+archiver.FileName(of[0].ID)+".x3aPq1")
	long := time.Now().Add(-time.Hour)
	err = errors.Join(os.Chtimes(left[0], long, long), os.Rename(left[2], copied), os.Chtimes(copied, long, long))
	if err != nil {
		t.Fatal(err)
	}
	heir := f.archiver(t, "heir", folder, time.Hour) // what was begun is finished, whatever its age
	if worked, err := heir.Turn(t.Context()); err != nil || !worked {
		t.Errorf("%v, %v", worked, err)
	}
	if _, err := os.Stat(left[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half an archive is left: %v", err)
	}
	for _, path := range []string{left[1], copied} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("not the archiver's to remove: %v", err)
		}
	}
	hard := 0
	if _, err := archiver.Archive(t.Context(), archiver.Task{
		Sale: of[1].ID, Path: filepath.Join(folder, archiver.FileName(of[1].ID)), Stores: archiver.Stores{Ledger: sealed.ledger, Streams: sealed.stream},
		Wait: func(context.Context) error { hard++; return nil },
	}); err != nil || hard != 2 {
		t.Errorf("%v; %d steps that work hard, want 2: the audit before the streams are closed is done", err, hard)
	}
	for i := range of {
		if state := f.state(t, of[i].ID); state != sale.Archived {
			t.Errorf("sale %d is %v", of[i].ID, state)
		}
	}
	if ids, err := f.Stream("looker").Sales(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("streams of sales %v, %v, want none", ids, err)
	}
}

// While purchases come fast no sale is archived, and when they end it is; or when
// they have come for so long that the store would fill. Checkouts, of which
// anybody may send as many as he likes, are not waited for.
func TestNothingIsArchivedBesideABusySale(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	old := []sale.Sale{f.OpenSale(2, 1), f.OpenSale(2, 1)}
	before := f.Hire(t, "before")
	defer before.Stop()
	for i := range old {
		f.SellOut(t, old[i])
		servicetest.Eventually(t, "the sale is sold out", func() bool { return f.state(t, old[i].ID) == sale.SoldOut })
	}
	busy, client := old[0], f.Stream("flood")
	busy.ID = 99 // nobody decides its requests
	if _, err := servicetest.CreateSale(t.Context(), client, busy); err != nil {
		t.Fatal(err)
	}
	flood := func(publish func(context.Context, sale.ID, []byte) error) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		flooded := make(chan struct{})
		go func() {
			defer close(flooded)
			for ctx.Err() == nil {
				_ = publish(ctx, busy.ID, []byte("{}"))
				<-time.After(5 * time.Millisecond)
			}
		}()
		return func() { cancel(); <-flooded }
	}
	var log testlog.Log
	archive := func(busyFor time.Duration) (done chan error) {
		waits := archiver.WaitsOf(time.Hour)
		waits.Quiet, waits.Busy = time.Second, busyFor // the flood does not pause so long
		cfg := archiver.Config{To: t.TempDir(), Waits: waits}
		a, err := archiver.New(cfg, "one", f.Ledger("one"), client, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		done = make(chan error, 1)
		go func() {
			_, err := a.Turn(t.Context())
			done <- err
		}()
		return done
	}
	purchases, checkouts := flood(client.PublishPack), flood(client.PublishAttempts)
	defer checkouts()
	done := archive(time.Hour)
	servicetest.Eventually(t, "it waits, and says so", func() bool { return strings.Contains(log.String(), "sales are busy") })
	for _, of := range old {
		if state := f.state(t, of.ID); state != sale.SoldOut {
			t.Errorf("sale %d is %v while another sells", of.ID, state)
		}
	}
	purchases()
	if err := <-done; err != nil || f.state(t, old[0].ID) != sale.Archived || !strings.Contains(log.String(), "sales are quiet") {
		t.Errorf("%v, beside checkouts alone sale %d is %v\n%s", err, old[0].ID, f.state(t, old[0].ID), log.String())
	}
	purchases = flood(client.PublishPack)
	if err := <-archive(time.Millisecond); err != nil || f.state(t, old[1].ID) != sale.Archived || !strings.Contains(log.String(), "sales are still busy") {
		t.Errorf("%v, after long sale %d is %v\n%s", err, old[1].ID, f.state(t, old[1].ID), log.String())
	}
	purchases()
	if err := errors.Join(client.Seal(t.Context(), busy.ID), client.Remove(t.Context(), busy.ID)); err != nil { // it is in no ledger
		t.Fatal(err)
	}
}

// Where a connection breaks, the sale is archived once it is back: the hour that
// somebody has to look at findings is for findings.
func TestABrokenConnectionKeepsNoSaleFromItsArchiveForAnHour(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(2, 1)
	staff := f.Hire(t, "staff")
	f.SellOut(t, of)
	servicetest.Eventually(t, "the sale is sold out", func() bool { return f.state(t, of.ID) == sale.SoldOut })
	hold, err := f.DB.Begin(t.Context())
	if err == nil {
		_, err = hold.Exec(t.Context(), `SELECT 1 FROM sales WHERE sale_id = $1 FOR UPDATE`, int64(of.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
	a := f.archiver(t, "cut", t.TempDir(), 0)
	defer f.Run(a.Run)()
	servicetest.Eventually(t, "the connection breaks while the sale's row is awaited", func() bool {
		return f.Count(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'cut' AND wait_event_type = 'Lock'`) > 0
	})
	if err := hold.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	servicetest.Eventually(t, "it is archived", func() bool { return f.state(t, of.ID) == sale.Archived })
	staff.Content()
}

// A sale that somebody must look at is not tried again and again, and holds up no
// other.
func TestASaleThatCannotBeArchivedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := []sale.Sale{f.OpenSale(2, 1), f.OpenSale(2, 1)}
	defer f.Hire(t, "staff").Stop()
	for i := range of {
		f.SellOut(t, of[i])
		servicetest.Eventually(t, "the sale is sold out", func() bool { return f.state(t, of[i].ID) == sale.SoldOut })
	}
	folder := t.TempDir()
	inTheWay := filepath.Join(folder, archiver.FileName(of[0].ID))
	if err := os.WriteFile(inTheWay, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := f.archiver(t, "one", folder, 0)
	if worked, err := a.Turn(t.Context()); worked || !errors.Is(err, archiver.ErrFile) {
		t.Errorf("%v, %v, want ErrFile", worked, err)
	}
	for i, want := range []bool{true, false} { // the other sale; then nothing, though what passes by itself would be tried again
		if worked, err := a.Turn(t.Context()); err != nil || worked != want {
			t.Errorf("turn %d: %v, %v, want %v", i, worked, err, want)
		}
	}
	if first, other := f.state(t, of[0].ID), f.state(t, of[1].ID); first != sale.Archiving || other != sale.Archived {
		t.Errorf("the sales are %v and %v", first, other)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if worked, err := f.archiver(t, "one", folder, 0).Turn(t.Context()); err != nil || !worked || f.state(t, of[0].ID) != sale.Archived {
		t.Errorf("after the file was moved away: %v, %v, sale %d is %v", worked, err, of[0].ID, f.state(t, of[0].ID))
	}
}

// Two sales that fail again and again, at each look, take the turn of no third.
func TestSalesThatFailAtEachLookHoldUpNoOther(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := []sale.Sale{f.OpenSale(2, 1), f.OpenSale(2, 1), f.OpenSale(2, 1)}
	defer f.Hire(t, "staff").Stop()
	folder := t.TempDir()
	for i := range of {
		f.SellOut(t, of[i])
		servicetest.Eventually(t, "the sale is sold out", func() bool { return f.state(t, of[i].ID) == sale.SoldOut })
		if i == 2 {
			break
		}
		if err := os.WriteFile(filepath.Join(folder, archiver.FileName(of[i].ID)), []byte("no archive"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := f.archiver(t, "one", folder, 0, func(p *archiver.Waits) { p.Later = time.Nanosecond })
	for i, want := range []error{archiver.ErrFile, archiver.ErrFile, nil, archiver.ErrFile} {
		if worked, err := a.Turn(t.Context()); !errors.Is(err, want) || worked != (want == nil) {
			t.Errorf("turn %d: %v, %v, want %v", i, worked, err, want)
		}
	}
	if state := f.state(t, of[2].ID); state != sale.Archived {
		t.Errorf("the third sale is %v", state)
	}
}

// What an archiver waits follows the slot, down to what a lease needs.
func TestAnArchiversPaceFollowsTheSlot(t *testing.T) {
	t.Parallel()
	hour := archiver.Waits{Lease: time.Minute, Look: time.Minute, Later: time.Hour, Quiet: 5 * time.Second, Busy: 10 * time.Minute}
	minute := archiver.Waits{Lease: 5 * time.Second, Look: time.Second, Later: time.Minute, Quiet: time.Second, Busy: 10 * time.Second}
	for slot, want := range map[time.Duration]archiver.Waits{time.Hour: hour, 24 * time.Hour: hour, time.Minute: minute} {
		if got := archiver.WaitsOf(slot); got != want {
			t.Errorf("of %v: %+v, want %+v", slot, got, want)
		}
	}
	s := newSettings()
	for _, r := range roles() {
		if r.name == "archiver" {
			f := pflag.NewFlagSet(r.name, pflag.ContinueOnError)
			r.flags(s, f)
			if err := f.Parse([]string{"--sale-every", "1m"}); err != nil {
				t.Fatal(err)
			}
			r.service(s)
		}
	}
	if s.archiver.Waits != minute {
		t.Errorf("of an archiver that is told of the slot: %+v", s.archiver.Waits)
	}
}
