//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"
)

// MiniredisNote is the Note of a Redis part that is the stand-in.
const MiniredisNote = "in-process miniredis: install redis-server for the real one"

const externalNote = "external"

// Part describes one of the three stores, for people.
type Part struct {
	Name    string // postgres, redis or nats
	Version string // such as "7.0.15"; empty for an external one
	Address string // host:port, without user or password
	Note    string // what people should know; usually empty
}

// Backends are the three stores, running. Its methods may be called from any
// goroutine.
type Backends struct {
	cfg      Config // once all parts run, with their URLs
	lock     *flock.Flock
	postgres *Postgres // these three: nil if external
	redis    *Redis
	nats     *NATS

	// These three do not change after Start.
	parts   []Part   // postgres, redis, nats
	kept    []part   // to be started again when they end
	folders []folder // that must not be removed or replaced

	done     chan error         // has room for every watcher, so that none blocks
	end      context.CancelFunc // ends the watchers
	watchers sync.WaitGroup
	once     sync.Once
	stopErr  error
}

// Start starts, at the same time, each part that has no URL in cfg, and returns
// once all answer: about 0.5 s on a new folder, 0.1 s on an existing one.
// If one fails, the others are stopped again. ctx limits the start only; the
// parts run until Stop, or until this process ends.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Backends, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("backends: %w", err)
	}
	watching, end := context.WithCancel(context.WithoutCancel(ctx))
	b := &Backends{cfg: cfg, done: make(chan error, 4), end: end}
	if err := b.claim(); err != nil {
		end()
		return nil, fmt.Errorf("backends: %w", err)
	}
	if err := b.start(ctx, log); err != nil {
		return nil, fmt.Errorf("backends: %w", errors.Join(err, b.Stop(context.WithoutCancel(ctx))))
	}
	b.watch(watching, log)
	return b, nil
}

// claim makes and locks the data folder, if one is configured, even if all stores are
// external: the program keeps files of its own there.
func (b *Backends) claim() error {
	if b.cfg.Data == "" {
		return nil
	}
	account, err := childAccount(b.cfg.Data)
	if err != nil && !b.cfg.external() {
		return err
	}
	if b.cfg.Data, err = prepareData(b.cfg.Data, account); err != nil {
		return err
	}
	b.lock, err = takeLock(filepath.Join(b.cfg.Data, "notsale.lock"))
	return err
}

// start starts the parts at the same time, and waits for all of them even if one has
// failed: only a part that has finished starting can be stopped.
func (b *Backends) start(ctx context.Context, log *slog.Logger) error {
	group, ctx := errgroup.WithContext(ctx)
	if b.cfg.DatabaseURL == "" {
		group.Go(func() (err error) { b.postgres, err = StartPostgres(ctx, b.cfg, log); return err })
	}
	if b.cfg.RedisURL == "" {
		group.Go(func() (err error) { b.redis, err = StartRedis(ctx, b.cfg, log); return err })
	}
	if b.cfg.NATSURL == "" {
		group.Go(func() (err error) { b.nats, err = StartNATS(ctx, b.cfg, log); return err })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return b.settle()
}

// settle notes what runs now and what to watch.
func (b *Backends) settle() error {
	b.parts = []Part{
		externalPart("postgres", b.cfg.DatabaseURL), externalPart("redis", b.cfg.RedisURL),
		externalPart("nats", strings.Split(b.cfg.NATSURL, ",")...),
	}
	var folders []string // Redis has none
	if b.lock != nil {
		folders = append(folders, b.cfg.Data)
	}
	if p := b.postgres; p != nil {
		b.cfg.DatabaseURL, b.parts[0] = p.URL(), Part{Name: "postgres", Version: p.Version(), Address: p.Address()}
		if b.cfg.Ephemeral {
			b.parts[0].Note = "without fsync: for tests only"
		}
		b.kept, folders = append(b.kept, part{"postgres", p.ended, p.Restart, true}), append(folders, p.dir)
	}
	if r := b.redis; r != nil {
		b.cfg.RedisURL, b.parts[1] = r.URL(), Part{Name: "redis", Version: r.Version(), Address: r.Address()}
		if r.InProcess() { // it cannot end by itself
			b.parts[1].Note = MiniredisNote
		} else {
			b.kept = append(b.kept, part{"redis", r.ended, r.Restart, false})
		}
	}
	if n := b.nats; n != nil {
		b.cfg.NATSURL, b.parts[2] = n.URL(), Part{Name: "nats", Version: n.Version(), Address: n.Address(), Note: "embedded"}
		b.kept, folders = append(b.kept, part{"nats", n.ended, n.Restart, true}), append(folders, n.dir)
	}
	return b.hold(folders...)
}

func (b *Backends) watch(ctx context.Context, log *slog.Logger) {
	b.watcher(func() error { return b.watchFolders(ctx) })
	for _, p := range b.kept {
		b.watcher(func() error { return b.keep(ctx, p, usualPauses, log) })
	}
}

func (b *Backends) watcher(watch func() error) {
	b.watchers.Go(func() {
		if err := watch(); err != nil {
			b.done <- err
		}
	})
}

// DatabaseURL is the connection string of Postgres, password included: not for
// logs.
func (b *Backends) DatabaseURL() string { return b.cfg.DatabaseURL }

// RedisURL is the connection string of Redis, password included: not for logs.
func (b *Backends) RedisURL() string { return b.cfg.RedisURL }

// NATSURL is the connection string of NATS, password included: not for logs.
func (b *Backends) NATSURL() string { return b.cfg.NATSURL }

// StreamStore is the size of JetStream's file store in bytes, 0 if NATS is external.
func (b *Backends) StreamStore() int64 {
	if b.nats == nil {
		return 0
	}
	return b.nats.StreamStore()
}

// Parts describes the three stores: postgres, redis, nats.
func (b *Backends) Parts() []Part { return slices.Clone(b.parts) }

// authority matches the hosts of a URL, without user and password.
var authority = regexp.MustCompile(`//(?:[^/?#]*@)?([^/?#@]*)`)

// externalPart describes an external store by its hosts.
func externalPart(name string, urls ...string) Part {
	var hosts []string
	for _, one := range urls {
		if found := authority.FindStringSubmatch(one); found != nil {
			hosts = append(hosts, found[1])
		}
	}
	return Part{Name: name, Address: strings.Join(hosts, ","), Note: externalNote}
}

// Done delivers an error, which says what to do, when the stores cannot go on: a part
// that is needed ends again and again, or the data folder was removed or replaced. It
// is never closed, and delivers nothing after Stop.
func (b *Backends) Done() <-chan error { return b.done }

// Stop stops what Start started: NATS, Redis, then Postgres, each within the
// time that ctx leaves (each at most 20 s if ctx has no deadline), in the end by
// force. Then it unlocks the folder. Later calls wait for the first and return the
// same error.
func (b *Backends) Stop(ctx context.Context) error {
	b.once.Do(func() {
		b.end()
		b.watchers.Wait()
		b.stopErr = errors.Join(b.stopParts(ctx)...)
		release(b.lock)
	})
	return b.stopErr
}

func (b *Backends) stopParts(ctx context.Context) (errs []error) {
	if b.nats != nil {
		errs = append(errs, b.nats.Stop(ctx))
	}
	if b.redis != nil {
		errs = append(errs, b.redis.Stop(ctx))
	}
	if b.postgres != nil {
		errs = append(errs, b.postgres.Stop(ctx))
	}
	return errs
}
