package archiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/auditor/archive"
)

// Config says what is archived, and where to.
type Config struct {
	To    string        // folder of the archives; empty: nothing is archived
	After time.Duration // how long a sale has been sold out
	Waits
}

// Waits is how long an archiver waits, and for what.
type Waits struct {
	Lease time.Duration // after which an archiver that is gone is replaced
	Look  time.Duration // between two looks for a sale, where there was none
	Later time.Duration // until a sale is tried again that somebody must look at
	Quiet time.Duration // how long to look whether sales are busy
	Busy  time.Duration // how long to wait for busy sales, before each step that works hard
}

// The shortest waits, whatever the slot.
const (
	minLease = 5 * time.Second // a quarter of it is longer than a commit takes
	minLook  = time.Second     // each asks both stores
	minQuiet = time.Second     // a sale that sells through a fault pauses for less
)

// WaitsOf makes the waits proportional to a slot of up to an hour, so that one sale a
// slot is archived, with three steps that work hard, even where some sale is always
// busy.
func WaitsOf(slot time.Duration) Waits {
	slot = min(slot, time.Hour)
	return Waits{
		Lease: max(slot/60, minLease), Look: max(slot/60, minLook), Later: slot,
		Quiet: max(slot/720, minQuiet), Busy: slot / 6,
	}
}

// DefaultConfig archives nothing, with the waits of a sale an hour.
func DefaultConfig() Config { return Config{After: 7 * 24 * time.Hour, Waits: WaitsOf(time.Hour)} }

// Validate reports a setting that cannot be used.
func (c Config) Validate() error {
	switch {
	case c.After < 0:
		return fmt.Errorf("--archive-after %v: want 0 or more", c.After)
	case c.Later <= 0:
		return errors.New("--sale-every: want more than 0")
	}
	info, err := os.Stat(c.To)
	if err != nil {
		return fmt.Errorf("--archive-to: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("--archive-to: %s is not a folder", c.To)
	}
	return nil
}

const (
	share = 0.25 // of the time in which an archiver's audits work
	// busyRate is how many packs of purchases a second all sales store while they
	// need the machine: an edge that sells hard stores a hundred.
	busyRate = 10
	// passing is after how many looks a sale is tried again that failed for a
	// reason which passes.
	passing = 2
)

// Archiver archives sold-out sales by their age.
type Archiver struct {
	Stores

	cfg      Config
	name     string // of the lease's holder
	log      *slog.Logger
	archived prometheus.Counter
	failed   prometheus.Counter
	alarms   prometheus.Counter

	failures map[sale.ID]time.Time // sales that could not be archived, and when they are tried again
}

// New returns an archiver on open connections, which stay the caller's. Its name
// must be unlike that of any other.
func New(cfg Config, name string, l *ledger.Ledger, s *stream.Client, log *slog.Logger, reg prometheus.Registerer) (*Archiver, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Archiver{
		Stores: Stores{l, s}, cfg: cfg, name: name, log: log, failures: map[sale.ID]time.Time{},
		archived: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_archiver_sales_archived_total", Help: "Sales archived by this archiver."}),
		failed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_archiver_failures_total", Help: "Sales that could not be archived, and are tried again."}),
		alarms:   prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_archiver_alarms_total", Help: "Sales that are kept because ledger and stream do not agree."}),
	}
	reg.MustRegister(a.archived, a.failed, a.alarms)
	return a, nil
}

// Run archives sales until ctx ends.
func (a *Archiver) Run(ctx context.Context) error {
	for failing := false; ; {
		worked, err := a.Turn(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			a.log.Warn("sales cannot be archived, trying on", "error", err)
		}
		failing = err != nil
		if worked {
			continue
		}
		select {
		case <-ctx.Done():
			a.release(ctx)
			return nil
		case <-time.After(a.cfg.Look):
		}
	}
}

// release gives the lease back, for another archiver to begin at once.
func (a *Archiver) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = a.Ledger.ReleaseArchiving(ctx, a.name) // else it expires
}

// Turn archives one sale, if this archiver holds the lease and there is one that
// is old enough, or whose archiving was interrupted. It reports whether there was.
func (a *Archiver) Turn(ctx context.Context) (worked bool, err error) {
	held, err := a.Ledger.HoldArchiving(ctx, a.name, a.cfg.Lease)
	if err != nil || !held {
		return false, err
	}
	id, err := a.next(ctx)
	if err != nil || id == 0 {
		return false, err
	}
	err = a.whileHeld(ctx, func(ctx context.Context) error { return a.archive(ctx, id) })
	return err == nil, err
}

// next returns the sale to archive, or 0: one that has not failed, else the failed
// one that is due first, so that sales that keep failing do not hold up others.
func (a *Archiver) next(ctx context.Context) (sale.ID, error) {
	there, err := a.Streams.Sales(ctx)
	if err != nil {
		return 0, err
	}
	var fresh, failed []sale.ID
	for _, id := range there {
		if until, has := a.failures[id]; !has {
			fresh = append(fresh, id)
		} else if time.Now().After(until) {
			failed = append(failed, id)
		}
	}
	maps.DeleteFunc(a.failures, func(id sale.ID, _ time.Time) bool { return !slices.Contains(there, id) })
	id, err := a.Ledger.SaleToArchive(ctx, fresh, a.cfg.After)
	if err != nil || id != 0 || len(failed) == 0 {
		return id, err
	}
	first := slices.MinFunc(failed, func(x, y sale.ID) int { return a.failures[x].Compare(a.failures[y]) })
	return a.Ledger.SaleToArchive(ctx, []sale.ID{first}, a.cfg.After)
}

func (a *Archiver) archive(ctx context.Context, id sale.ID) error {
	path := filepath.Join(a.cfg.To, FileName(id))
	if err := archive.Sweep(path, a.cfg.Lease); err != nil { // whoever writes does so all the time
		a.log.Warn("what a killed archiver left cannot be removed", "sale", id, "error", err)
	}
	ends, err := Archive(ctx, Task{Sale: id, Path: path, Stores: a.Stores, Share: share, Wait: a.wait})
	switch {
	case err == nil:
		a.archived.Inc()
		a.log.Info("sale archived", "sale", id, "archive", path, "messages", ends.Sequence, "manifest", fmt.Sprintf("%x", ends.Manifest))
		return nil
	case ctx.Err() != nil:
		return err
	}
	a.failures[id] = time.Now().Add(a.again(err))
	a.failed.Inc()
	if errors.Is(err, ErrFindings) {
		a.alarms.Inc()
		a.log.Error("ALARM", "kind", "archive-findings", "sale", id, "do", fmt.Sprintf("its streams are kept: look at what `notsale audit --sale %d` says", id))
		return nil
	}
	return err
}

// again is how long to wait before a sale that failed so is tried again: long where
// somebody must look first (ledger and stream do not agree, a file or a folder is not
// as it must be). Every other reason passes by itself: a store is away, a connection
// broke, no allocator runs.
func (a *Archiver) again(err error) time.Duration {
	for _, lasting := range [...]error{ErrFindings, ErrFile, archive.ErrDamaged, stream.ErrForeign, ledger.ErrArchive} {
		if errors.Is(err, lasting) {
			return a.cfg.Later
		}
	}
	if _, lasting := errors.AsType[*fs.PathError](err); lasting {
		return a.cfg.Later
	}
	return passing * a.cfg.Look
}

var errLeaseLost = errors.New("archiver: another archiver has the lease")

// whileHeld renews the lease while work is done, which ends when it is lost.
func (a *Archiver) whileHeld(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(a.cfg.Lease / 4):
			}
			if held, err := a.Ledger.HoldArchiving(ctx, a.name, a.cfg.Lease); err == nil && !held {
				cancel(errLeaseLost)
			}
		}
	}()
	err := work(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errLeaseLost) {
		err = cause
	}
	cancel(nil)
	<-renewed
	return err
}

// wait waits until no sale needs the machine, but not for ever: a store that is
// full stops all sales.
func (a *Archiver) wait(ctx context.Context) error {
	started, told := time.Now(), false
	before, err := a.stored(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(a.cfg.Quiet):
		}
		now, errNow := a.stored(ctx)
		busy := float64(now) >= float64(before)+max(1, busyRate*a.cfg.Quiet.Seconds())
		switch waited := time.Since(started); {
		case errNow != nil || !busy && !told:
			return errNow
		case !busy:
			a.log.Info("sales are quiet, archiving goes on", "waited", waited)
			return nil
		case waited > a.cfg.Busy:
			a.log.Warn("sales are still busy, archiving goes on beside them: a full store is worse", "waited", waited)
			return nil
		case !told:
			a.log.Info("sales are busy, archiving waits", "at_most", a.cfg.Busy)
		}
		before, told = now, true
	}
	return err
}

// stored is how many packs of purchases the streams of all sales have. Checkouts
// cost little, and come from anybody.
func (a *Archiver) stored(ctx context.Context) (sum uint64, err error) {
	sizes, err := a.Streams.Sizes(ctx)
	for i := range sizes {
		if sizes[i].Kind == stream.Purchases {
			sum += sizes[i].Messages
		}
	}
	return sum, err
}

// FileName is what the archive of a sale is called.
func FileName(id sale.ID) string { return fmt.Sprintf("sale-%d.notsale.tar", id) }
