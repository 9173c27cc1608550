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
	turnTimeout = time.Minute // for one turn; a thousand sales open within it
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
	Put(ctx context.Context, e wire.Entry) error
	Count(ctx context.Context) (int, error)
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
	opened prometheus.Counter
	failed prometheus.Counter
	alarms prometheus.Counter
	keeper *keeper // of the streams' sizes; none in the simulator

	claimed   chan struct{}          // closed once NATS's store is known to be ours
	claim     func()                 // closes it
	directory Directory              // opened by Run, which owns the rest
	listed    map[sale.ID]sale.State // what this scheduler wrote into the directory
	unsold    unsold
	newest    sale.ID          // the highest number that a sale is known to have
	refused   map[sale.ID]bool // streams that are another sale's, of which people were told
	told      map[sale.ID]bool // sales of unknown rules or dated ahead, of which people were told
	skewed    bool             // the clocks differed at the last look
	repaired  time.Time        // when all sales were last looked at
}

// New returns a scheduler on open connections, which stay the caller's.
func New(cfg Config, l *ledger.Ledger, s *stream.Client, log *slog.Logger, reg prometheus.Registerer) (*Scheduler, error) {
	sc, err := On(cfg, l, nats{s}, log, reg)
	if err != nil {
		return nil, err
	}
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
		cfg: cfg, ledger: l, stream: s, log: log, listed: map[sale.ID]sale.State{}, told: map[sale.ID]bool{}, refused: map[sale.ID]bool{},
		opened: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_sales_opened_total", Help: "Sales opened by this scheduler."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_failures_total", Help: "Runs that could not finish."}),
	}
	sc.alarms = prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_scheduler_alarms_total", Help: "Findings that need a person: the stream store or a stream fills up, clocks differ, a sale is dated ahead or has rules of a newer version, a stream is another's."})
	sc.claimed = make(chan struct{})
	sc.claim = sync.OnceFunc(func() { close(sc.claimed) })
	reg.MustRegister(sc.opened, sc.failed, sc.alarms)
	return sc, nil
}

// Run opens a sale in every slot, and keeps the streams' sizes, until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	kept := make(chan error, 1)
	go func() {
		defer cancel()
		select {
		case <-s.claimed:
			kept <- s.keeper.run(ctx)
		case <-ctx.Done():
			kept <- nil
		}
	}()
	err := s.turns(ctx)
	cancel()
	return errors.Join(err, <-kept)
}

func (s *Scheduler) turns(ctx context.Context) error {
	for failing := false; ; {
		err := s.Turn(ctx)
		if errors.Is(err, stream.ErrForeign) {
			s.alarms.Inc()
			s.log.Error("ALARM", "kind", "foreign-stream", "error", err, "do", "this scheduler ends: nothing that time could heal, and nothing may be sold")
			return err
		}
		if err != nil && ctx.Err() == nil {
			s.failed.Inc()
			s.directory, s.repaired = nil, time.Time{}
			if !failing {
				s.log.Error("the sale cannot be opened or repaired, trying on", "error", err)
			}
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.pause(ctx)):
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

// Turn opens the current slot's sale, if it is not yet open, and finishes what
// an earlier turn, of any scheduler, has left.
func (s *Scheduler) Turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if s.directory == nil {
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
		s.claim()
		if err := s.adopt(ctx, installation); err != nil {
			return err
		}
		s.directory, s.listed = directory, map[sale.ID]sale.State{}
	}
	seed, err := newSeed()
	if err != nil {
		return err
	}
	clock, local, err := s.directory.ServerTime(ctx)
	if err != nil {
		return err
	}
	t := ledger.Template{
		Every: s.cfg.Every, Stock: s.cfg.Stock, UserLimit: s.cfg.UserLimit, Seed: seed, Newest: s.newest,
		Other: ledger.Reading{Clock: clock, At: local},
	}
	crash.At("scheduler/before-row")
	made, err := s.ledger.OpenSlot(ctx, t)
	if err != nil && !errors.Is(err, ledger.ErrClocks) {
		return err
	}
	s.watchClocks(err)
	if made {
		crash.At("scheduler/after-row")
	}
	err = s.repair(ctx, clock)
	s.tendUnsold(ctx) // sales first
	return err
}

// watchClocks tells people that nothing is opened because two clocks differ.
func (s *Scheduler) watchClocks(differ error) {
	if differ != nil && !s.skewed {
		s.alarms.Inc()
		s.log.Error("ALARM", "kind", "clocks-differ", "error", differ,
			"do", "no sale opens until they agree to a minute: set the clock that is wrong")
	}
	s.skewed = differ != nil
}

// repair looks at the recent sales, and now and then at all.
func (s *Scheduler) repair(ctx context.Context, now time.Time) error {
	all, limit := time.Since(s.repaired) > fullRepair, recentSales
	if all {
		limit = pageSize
		if err := s.relist(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for before := sale.ID(0); ; {
		rows, err := s.ledger.Sales(ctx, before, limit)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if !s.skewed && row.Sale.OpensAt.Sub(now) > max(s.cfg.Every, ledger.MaxClockSkew) {
				s.dateAhead(row.Sale)
			}
			errs = append(errs, s.finish(ctx, row))
			before, s.newest = row.Sale.ID, max(s.newest, row.Sale.ID)
		}
		if !all || len(rows) < limit {
			break
		}
	}
	if all {
		s.repaired = time.Now()
	}
	return errors.Join(errs...)
}

// relist forgets what was listed where the directory has lost entries.
func (s *Scheduler) relist(ctx context.Context) error {
	n, err := s.directory.Count(ctx)
	if err == nil && n < len(s.listed) {
		s.log.Warn("the directory of sales has lost entries, writing them again", "listed", len(s.listed), "left", n)
		s.listed = map[sale.ID]sale.State{}
	}
	return err
}

// finish does what is missing of a sale's opening and lists it.
func (s *Scheduler) finish(ctx context.Context, row ledger.SaleRow) error {
	if row.State == sale.Preparing && !allocation.KnownRules(row.Sale.Rules) {
		s.leave(row.Sale)
		return nil
	}
	if row.State == sale.Preparing && s.skewed {
		return nil
	}
	if row.State == sale.Preparing {
		if err := s.open(ctx, row.Sale); err != nil || s.refused[row.Sale.ID] {
			return err
		}
		row.State = sale.Open
	}
	if s.listed[row.Sale.ID] == row.State {
		return nil
	}
	if err := s.directory.Put(ctx, wire.Entry{Sale: row.Sale, State: row.State}); err != nil {
		return err
	}
	crash.At("scheduler/after-directory")
	s.listed[row.Sale.ID] = row.State
	return nil
}

// leave does not open a sale whose row a newer scheduler has made, under rules
// that this program does not have: the newer one finishes it.
func (s *Scheduler) leave(of sale.Sale) {
	if s.told[of.ID] {
		return
	}
	s.told[of.ID] = true
	s.alarms.Inc()
	s.log.Error("ALARM", "kind", "newer-version", "sale", of.ID, "rules", of.Rules,
		"do", "the sale is not opened by this scheduler: upgrade it and every allocator")
}

// dateAhead tells people of a sale that was opened while the clocks were wrong.
// The hours until its date open as ever.
func (s *Scheduler) dateAhead(of sale.Sale) {
	if s.told[of.ID] {
		return
	}
	s.told[of.ID] = true
	s.alarms.Inc()
	s.log.Error("ALARM", "kind", "dated-ahead", "sale", of.ID, "opens_at", of.OpensAt,
		"do", "a clock was wrong when it was opened: it sells as any other, and only the slot of its date will open none; see README, A clock that was wrong")
}

func (s *Scheduler) open(ctx context.Context, of sale.Sale) error {
	opening, err := s.stream.CreateSale(ctx, of)
	switch {
	case err == nil:
		delete(s.refused, of.ID)
	case !errors.Is(err, stream.ErrForeign):
		return err
	case opening.Sale.Installation == of.Installation && !s.refused[of.ID]: // the next turn takes that sale over
		return fmt.Errorf("%w: %v", ledger.ErrWentBack, err) //nolint:errorlint // it is no foreign stream
	default:
		s.refuse(of.ID, err, foreignCure)
		return nil
	}
	genesis := allocation.Genesis(opening.Message.Hash(), opening.Message.Time)
	crash.At("scheduler/before-open")
	if err := s.ledger.MarkOpen(ctx, of.ID, genesis, opening.Created); err != nil {
		return err
	}
	crash.At("scheduler/after-open")
	s.opened.Inc()
	s.log.Info("sale opened", "sale", of.ID, "opens_at", of.OpensAt, "stock", of.Stock, "first_item", of.FirstItem, "last_item", of.LastItem())
	return nil
}

func newSeed() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("drawing a seed: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]) >> 1, nil
}
