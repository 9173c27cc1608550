package scheduler

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"notsale/pkg/allocation"
	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Config says which sales are opened.
type Config struct {
	Every     time.Duration // length of a slot; slots are counted from the Unix epoch
	Stock     int           // items per sale
	UserLimit int           // items per user and sale
	// BackupHorizon is the age of the oldest backup of the database that may ever
	// be restored: attempts of no sale stay in their streams for longer.
	BackupHorizon time.Duration
}

// DefaultConfig is the brief's: 10,000 items every hour, 10 per user.
func DefaultConfig() Config {
	return Config{Every: time.Hour, Stock: 10_000, UserLimit: 10, BackupHorizon: 7 * 24 * time.Hour}
}

// MinEvery is the shortest slot: a sale needs some tens of milliseconds to open.
const MinEvery = time.Second

// Validate reports a setting that no sale may have.
func (c Config) Validate() error {
	switch {
	case c.Every < MinEvery:
		return fmt.Errorf("--sale-every %v: want at least %v", c.Every, MinEvery)
	case c.Stock < 1 || c.Stock > sale.MaxStock:
		return fmt.Errorf("--sale-stock %d: want 1 to %d", c.Stock, sale.MaxStock)
	case c.UserLimit < 1 || c.UserLimit > sale.MaxUserLimit:
		return fmt.Errorf("--user-limit %d: want 1 to %d", c.UserLimit, sale.MaxUserLimit)
	case c.BackupHorizon < 0:
		return fmt.Errorf("--backup-horizon %v: want none below 0", c.BackupHorizon)
	}
	return nil
}

// Pace of the scheduler.
const (
	retryPause  = time.Second      // between two looks, at most
	recentSales = 100              // sales looked at each time
	fullRepair  = 30 * time.Second // between two looks at all sales
	pageSize    = 1000
	turnTimeout = time.Minute // for opening one sale, and for one look of the keeper
	// repairTimeout is for one look at the sales that are there. What it does not
	// get done the next one does, from where it was.
	repairTimeout = time.Minute
	unsoldTimeout = time.Minute // for one look at the streams of no sale
	// putsAtOnce bounds the entries of the directory that are written at once: with
	// NATS 300 ms away some 25 a second.
	putsAtOnce = 16
)

// Books is the ledger, as a scheduler uses it. Every call may be repeated.
type Books interface {
	Installation(ctx context.Context) (sale.UUID, error)
	OpenSlot(ctx context.Context, t ledger.Template) (made bool, err error)
	Adopt(ctx context.Context, of sale.Sale) error
	Sales(ctx context.Context, before sale.ID, limit int) ([]ledger.SaleRow, error)
	MarkOpen(ctx context.Context, id sale.ID, genesis allocation.Cursor, streamCreated time.Time) error
	NextSlot(ctx context.Context, every time.Duration) (time.Duration, error)
	UnsoldBooks
}

// Streams is NATS, as a scheduler uses it. Every call may be repeated.
type Streams interface {
	UnsoldStreams
	CreateSale(ctx context.Context, s sale.Sale) (stream.Opening, error)
	Sales(ctx context.Context) ([]sale.ID, error)
	Opening(ctx context.Context, id sale.ID) (stream.Opening, error)
	Directory(ctx context.Context) (Directory, error)
}

// Directory is where edges and allocators learn of sales.
type Directory interface {
	Claim(ctx context.Context, installation sale.UUID) error
	Put(ctx context.Context, e wire.Entry) error // may be called by several goroutines
	Count(ctx context.Context) (int, error)
	Entries(ctx context.Context) (map[sale.ID]wire.Entry, error)
	ServerTime(ctx context.Context) (server, local time.Time, err error)
}

// nats is the real Streams.
type nats struct{ *stream.Client }

func (n nats) Directory(ctx context.Context) (Directory, error) { return n.MakeDirectory(ctx) }

// Scheduler opens sales.
type Scheduler struct {
	cfg    Config
	ledger Books
	stream Streams
	log    *slog.Logger
	now    func() time.Time
	sales  prometheus.Counter
	failed prometheus.Counter
	alarms alarms
	keeper *keeper // of the streams' sizes; nil: none

	claimed chan struct{} // closed once NATS's store is known to be ours
	claim   func()        // closes it

	// Of whoever opens the slot's sale.
	directory Directory // nil: to be looked for, or made
	opened    uint64    // how often it was
	skewed    bool      // the clocks differed at the last look
	openUntil time.Time // by now: until then the slot's sale is known to be open, or this scheduler began
	late      bool      // people were told that it is not
	left      []sale.ID // streams that could not be read when it was

	mu    sync.Mutex
	seen  view  // guarded by mu; written by whoever opens, read by whoever repairs
	known known // guarded by mu

	// Of whoever repairs.
	listed   map[sale.ID]wire.Entry // what the directory has; nil: to be read
	listedIn uint64                 // of which directory, as view.opened counts them
	repaired time.Time              // by now: when all sales were last looked at, or the first failure came
	failures int                    // looks at all sales in a row that failed, or what made the first necessary
	told     map[sale.ID]bool       // sales of unknown rules or dated ahead, of which people were told
	unread   []sale.ID              // streams without a sale that could not be read
	adoptAt  time.Time              // by now: when they are tried again
	toldOf   bool                   // people were told that this lasts
	unsold   unsold
	atOnce   int // entries of the directory that are written at once
}

// view is what the last look for the slot's sale has found out.
type view struct {
	directory Directory // nil: nothing yet
	opened    uint64    // counts the directories that were looked for or made
	clock     time.Time // NATS's
	skewed    bool      // the clocks differ
	unread    []sale.ID // of streams that could not be read then
}

// New returns a scheduler on open connections, which stay the caller's.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, log *slog.Logger, reg prometheus.Registerer) (*Scheduler, error) {
	sc, err := On(cfg, l, nats{s}, log, reg)
	if err != nil {
		return nil, err
	}
	sc.atOnce = putsAtOnce
	sc.keeper = &keeper{cfg: cfg, ledger: l, streams: s, log: log, alarms: sc.alarms}
	sc.keeper.reserved = prometheus.NewGauge(prometheus.GaugeOpts{Name: "notsale_scheduler_store_reserved_ratio", Help: "Part of the stream store that is reserved."})
	reg.MustRegister(sc.keeper.reserved)
	return sc, nil
}

// On returns a scheduler on any books and streams.
func On(cfg Config, l Books, s Streams, log *slog.Logger, reg prometheus.Registerer) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	sc := &Scheduler{
		cfg: cfg, ledger: l, stream: s, log: log, told: map[sale.ID]bool{}, atOnce: 1, now: time.Now, known: known{refused: map[sale.ID]bool{}, lacking: true},
		sales:  prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_sales_opened_total", Help: "Sales opened by this scheduler."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_failures_total", Help: "Runs that could not finish."}),
		alarms: newAlarms(log),
	}
	sc.claimed = make(chan struct{})
	sc.claim = sync.OnceFunc(func() { close(sc.claimed) })
	reg.MustRegister(sc.sales, sc.failed, sc.alarms.raised)
	return sc, nil
}

// Run opens a sale in every slot, and beside that repairs what is there and keeps
// the streams' sizes, until ctx ends. Neither makes the next sale wait.
func (s *Scheduler) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return s.loop(ctx, "the sale cannot be opened, trying on", s.openSlot, s.pause)
	})
	group.Go(func() error {
		return s.onceClaimed(ctx, func() error {
			return s.loop(ctx, "sales cannot be repaired, trying on", s.tend, func(context.Context) time.Duration { return retryPause })
		})
	})
	if s.keeper != nil {
		group.Go(func() error {
			return s.onceClaimed(ctx, func() error { return s.keeper.run(ctx) })
		})
	}
	return group.Wait()
}

// onceClaimed runs a loop as soon as NATS's store is known to be ours.
func (s *Scheduler) onceClaimed(ctx context.Context, loop func() error) error {
	select {
	case <-s.claimed:
		return loop()
	case <-ctx.Done():
		return nil
	}
}

// loop takes a step again and again, until ctx ends or the streams are foreign.
func (s *Scheduler) loop(ctx context.Context, failure string, step func(context.Context) error, pause func(context.Context) time.Duration) error {
	for failing := false; ; {
		err := step(ctx)
		if errors.Is(err, stream.ErrForeign) {
			s.alarms.raise("foreign-stream", "error", err, "do", "this scheduler ends: nothing that time could heal, and nothing may be sold")
			return err
		}
		if err != nil && ctx.Err() == nil {
			s.failed.Inc()
			if !failing {
				s.log.Error(failure, "error", err)
			}
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause(ctx)):
		}
	}
}

// pause is the time to the next slot, at most retryPause.
func (s *Scheduler) pause(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, retryPause)
	defer cancel()
	next, err := s.ledger.NextSlot(ctx, s.cfg.Every)
	if err != nil || next <= 0 {
		return retryPause
	}
	return min(next, retryPause)
}

// Turn opens the current slot's sale, if it is not yet open, and then finishes
// what an earlier turn, of any scheduler, has left: a step of each of Run's loops.
func (s *Scheduler) Turn(ctx context.Context) error {
	err := s.openSlot(ctx)
	return errors.Join(err, s.tend(ctx))
}

// openSlot opens the current slot's sale, if it is not yet open, and tells people
// of one that is not.
func (s *Scheduler) openSlot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	err := s.openNewest(ctx)
	s.watchOpen(err)
	return err
}

// openNewest makes the slot's sale, which is then the newest, and opens it.
func (s *Scheduler) openNewest(ctx context.Context) error {
	clock, err := s.makeRow(ctx)
	if err != nil {
		return err
	}
	s.see(view{s.directory, s.opened, clock, s.skewed, s.left})
	rows, err := s.ledger.Sales(ctx, 0, recentSales)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		s.knows(rows[0].Sale.ID)
	}
	if len(rows) > 0 && s.opens(&rows[0]) {
		var opened bool
		if opened, err = s.open(ctx, rows[0].Sale); opened {
			rows[0].State = sale.Open
			err = s.list(ctx, s.directory, wire.Entry{Sale: rows[0].Sale, State: sale.Open})
		}
	}
	s.lookWhatIsOpen(rows, clock)
	return err
}

// opens reports whether the newest sale is to be opened.
func (s *Scheduler) opens(row *ledger.SaleRow) bool {
	return row.State == sale.Preparing && !s.skewed && allocation.KnownRules(row.Sale.Rules)
}

// makeRow makes the row of the current slot's sale unless it is there, and
// returns NATS's time.
func (s *Scheduler) makeRow(ctx context.Context) (time.Time, error) {
	if err := s.openDirectory(ctx); err != nil {
		return time.Time{}, err
	}
	clock, local, err := s.directory.ServerTime(ctx)
	if err != nil {
		s.directory = nil // it may be gone, and what it listed
		return time.Time{}, err
	}
	seed, err := newSeed()
	if err != nil {
		return time.Time{}, err
	}
	t := ledger.Template{
		Every: s.cfg.Every, Stock: s.cfg.Stock, UserLimit: s.cfg.UserLimit, Seed: seed, Newest: s.newest(),
		Other: ledger.Reading{Clock: clock, At: local},
	}
	crash.At("scheduler/before-row")
	made, err := s.ledger.OpenSlot(ctx, t)
	if errors.Is(err, ledger.ErrWentBack) {
		s.lacks(true)
	}
	if err != nil && !errors.Is(err, ledger.ErrClocks) {
		return time.Time{}, err
	}
	s.watchClocks(err)
	if made {
		crash.At("scheduler/after-row")
	}
	return clock, nil
}

// openDirectory opens the directory unless it is open, sees that it is ours, and
// that the ledger has all sales.
func (s *Scheduler) openDirectory(ctx context.Context) error {
	if s.directory != nil && !s.lacking() {
		return nil
	}
	directory, err := s.stream.Directory(ctx)
	if err != nil {
		return err
	}
	installation, err := s.ledger.Installation(ctx)
	if err != nil {
		return err
	}
	if err := directory.Claim(ctx, installation); err != nil {
		return err
	}
	s.forgetNewest()
	unread, err := s.adopt(ctx, installation, nil)
	if err != nil {
		return err
	}
	s.lacks(false)
	s.directory, s.left = directory, unread
	s.opened++
	return nil
}

// see tells whoever repairs what was found out.
func (s *Scheduler) see(now view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = now
	s.claim()
}

// watchClocks tells people that nothing is opened because two clocks differ.
func (s *Scheduler) watchClocks(differ error) {
	if differ != nil && !s.skewed {
		s.alarms.raise("clocks-differ", "error", differ,
			"do", "no sale opens until they agree to a minute: set the clock that is wrong")
	}
	s.skewed = differ != nil
}

// openLate is how long after its time a sale that is not open is told of.
const openLate = time.Minute

// lookWhatIsOpen remembers how long the slot's sale is open, if one of these is
// it: to the end of its slot.
func (s *Scheduler) lookWhatIsOpen(rows []ledger.SaleRow, clock time.Time) {
	for _, row := range rows {
		opens := row.Sale.OpensAt
		if row.State == sale.Preparing || opens.Sub(clock) > ledger.MaxClockSkew { // not open, or dated ahead
			continue
		}
		ends := opens.Add(s.cfg.Every - time.Duration(opens.UnixNano()%int64(s.cfg.Every)))
		left := ends.Sub(clock)
		if until := s.now().Add(left); left > 0 && until.After(s.openUntil) {
			s.openUntil = until
		}
	}
}

// watchOpen tells people that the slot's sale is not open, whatever it is that
// keeps it, a minute after its time. After a start that minute begins anew.
func (s *Scheduler) watchOpen(err error) {
	now := s.now()
	if s.openUntil.IsZero() {
		s.openUntil = now
	}
	late := now.Sub(s.openUntil) > openLate
	if late && !s.late {
		s.alarms.raise("not-open", "since", s.openUntil.UTC(), "error", err,
			"do", "the sale of this slot is not known to be open: see the error, or where there is none the alarm before this one")
	}
	s.late = late
}

// open makes a sale's streams and opens it, unless its stream is another's, of
// which people are told.
func (s *Scheduler) open(ctx context.Context, of sale.Sale) (opened bool, err error) {
	opening, err := s.stream.CreateSale(ctx, of)
	switch {
	case err == nil:
		s.accept(of.ID)
	case !errors.Is(err, stream.ErrForeign):
		return false, err
	case opening.Sale.Installation == of.Installation && !s.isRefused(of.ID): // it is taken over before the next is opened
		s.lacks(true)
		return false, fmt.Errorf("%w: %v", ledger.ErrWentBack, err) //nolint:errorlint // it is no foreign stream
	default:
		s.refuse(of.ID, err, foreignCure)
		return false, nil
	}
	genesis := allocation.Genesis(opening.Message.Hash(), opening.Message.Time)
	crash.At("scheduler/before-open")
	if err := s.ledger.MarkOpen(ctx, of.ID, genesis, opening.Created); err != nil {
		return false, err
	}
	crash.At("scheduler/after-open")
	s.sales.Inc()
	s.log.Info("sale opened", "sale", of.ID, "opens_at", of.OpensAt, "stock", of.Stock, "first_item", of.FirstItem, "last_item", of.LastItem())
	return true, nil
}

func newSeed() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("drawing a seed: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]) >> 1, nil
}
