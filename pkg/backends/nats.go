//go:build unix

package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

const (
	maxPayload    = 1 << 20 // bytes; a pack and a reply hold at most half of it
	natsReadyWait = time.Minute
	natsReadyPoll = 20 * time.Millisecond
	streamsWatch  = time.Second // how often to check JetStream and its disk
	spareRoom     = 64 << 20    // bytes; with less, a store whose disk was full would soon be full again
	natsUser      = "notsale"
)

// NATS is a nats-server in this process, with JetStream on disk. Its methods may
// be called from any goroutine; they wait for each other.
type NATS struct {
	cfg      Config
	log      *slog.Logger
	dir      string // Data/nats
	password string
	store    int64 // size of the store in bytes; 0: the server sizes it

	mu   sync.Mutex // guards what follows
	port int        // kept over a Restart
	lock *flock.Flock
	run  *natsRun // nil: stopped
}

// natsRun is one run of the server, from its start to its stop.
type natsRun struct {
	dir    string
	server *server.Server
	logger *natsLog
	stop   chan struct{} // closed to end the watch
	ended  chan struct{} // closed when the server, or its JetStream, has ended
}

// StartNATS starts a NATS server whose streams are in cfg.Data/nats, and
// returns once it takes connections and JetStream is on. Of cfg it uses Data,
// StreamStore and Ephemeral. Clients need the password in URL. ErrInUse means
// that another notsale holds the folder: two servers on one store would
// destroy it, and the server itself does not check.
func StartNATS(ctx context.Context, cfg Config, log *slog.Logger) (*NATS, error) {
	n := &NATS{cfg: cfg, log: log.With("part", "nats"), port: server.RANDOM_PORT}
	if err := n.open(ctx); err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	return n, nil
}

func (n *NATS) open(ctx context.Context) error {
	data, _, err := openData(n.cfg.Data)
	if err != nil {
		return err
	}
	n.dir = filepath.Join(data, "nats")
	if err := partFolder(n.dir, nil); err != nil {
		return err
	}
	if n.password, err = secret(n.dir+".password", nil); err != nil {
		return err
	}
	if n.store = n.cfg.StreamStore; n.store == 0 {
		n.store = storeLimit(n.dir, n.log)
	}
	return n.start(ctx)
}

// start takes the lock and runs a server. The caller holds mu, or is alone.
func (n *NATS) start(ctx context.Context) (err error) {
	if n.lock, err = takeLock(filepath.Join(n.dir, "notsale.lock")); err != nil {
		return err
	}
	err = repairMetas(n.dir, n.log)
	if err == nil {
		n.run, err = n.serve(ctx)
	}
	if err != nil {
		release(n.lock)
		return err
	}
	n.port = n.run.server.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener's
	return nil
}

// serve runs a server until it is ready or has failed.
func (n *NATS) serve(ctx context.Context) (*natsRun, error) {
	s, err := server.NewServer(&server.Options{
		ServerName:             "notsale",
		Host:                   loopback,
		Port:                   n.port,
		Username:               natsUser,
		Password:               n.password,
		MaxPayload:             maxPayload,
		JetStream:              true,
		StoreDir:               n.dir,
		JetStreamMaxStore:      n.store,
		SyncAlways:             !n.cfg.Ephemeral,
		NoSigs:                 true, // the program handles signals
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	logger := &natsLog{log: n.log}
	s.SetLoggerV2(logger, false, false, false)
	s.Start() // listens in a goroutine of its own
	if err := awaitNATS(ctx, s, logger, !n.cfg.Ephemeral); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, err
	}
	run := &natsRun{dir: n.dir, server: s, logger: logger, stop: make(chan struct{}), ended: make(chan struct{})}
	go run.watch()
	return run, nil
}

// awaitNATS waits until the server takes connections, and checks that it has
// streams, as durable as was asked: it would also run without.
func awaitNATS(ctx context.Context, s *server.Server, logger *natsLog, durable bool) error {
	ctx, cancel := context.WithTimeout(ctx, natsReadyWait)
	defer cancel()
	for !s.ReadyForConnections(natsReadyPoll) {
		if err := errors.Join(logger.errors().fatal, ctx.Err()); err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	config, seen := s.JetStreamConfig(), logger.errors()
	if seen.fatal != nil || config == nil || !s.JetStreamEnabled() {
		return fmt.Errorf("start: JetStream is off: %w", cmp.Or(seen.last, errNotLogged))
	}
	if config.SyncAlways != durable {
		return fmt.Errorf("start: JetStream has SyncAlways %v, want %v", config.SyncAlways, durable)
	}
	return nil
}

var errNotLogged = errors.New("it logged no error")

// watch ends when it is told to, or when the server must be started again: it has
// ended; it has switched JetStream off, as it may do on a full disk; or a disk that
// was full has room again, which the server does not notice.
func (r *natsRun) watch() {
	tick := time.NewTicker(streamsWatch)
	defer tick.Stop()
	told := false
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
		}
		full := r.logger.errors().full
		if full != nil && !told {
			r.logger.log.Error("the disk is full and nothing can be sold: free some space, then NATS is started again by itself", "folder", r.dir, "need", spareRoom, "error", full)
			told = true
		}
		if !r.server.Running() || !r.server.JetStreamEnabled() || full != nil && hasRoom(r.dir, spareRoom) {
			close(r.ended)
			return
		}
	}
}

// hasRoom reports whether so many bytes can be written to a folder; if that cannot be
// found out, it assumes so.
func hasRoom(dir string, need uint64) bool {
	var disk unix.Statfs_t
	err := unix.Statfs(dir, &disk)
	return err != nil || disk.Bavail >= need/uint64(disk.Bsize)
}

// died says why the server ended by itself.
func (r *natsRun) died() error {
	switch seen := r.logger.errors(); {
	case seen.full != nil:
		return fmt.Errorf("nats ended: the disk was full: free some space, or choose a folder on another disk with --data: %w", seen.full)
	case !r.server.Running():
		return fmt.Errorf("nats ended: shut down by itself: %w", cmp.Or(seen.last, errNotLogged))
	default:
		return fmt.Errorf("nats ended: its JetStream switched itself off: %w", cmp.Or(seen.last, errNotLogged))
	}
}

// URL is the connection string, user and password included.
func (n *NATS) URL() string {
	u := url.URL{Scheme: "nats", User: url.UserPassword(natsUser, n.password), Host: n.Address()}
	return u.String()
}

// Address is host:port.
func (n *NATS) Address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return address(n.port)
}

// Version is the server's, such as "2.15.2".
func (n *NATS) Version() string { return server.VERSION }

// Dir is the store's folder, for fault tests.
func (n *NATS) Dir() string { return n.dir }

// Stop shuts the server down: it disconnects clients and writes the streams. It
// returns when that is done, or with an error when ctx ends (without a deadline,
// after 20 s); the server then ends in the background, and keeps its lock until
// it has. Stopping again does nothing.
func (n *NATS) Stop(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.run == nil {
		return nil
	}
	run, lock := n.run, n.lock
	n.run, n.lock = nil, nil
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stopWait)
		defer cancel()
	}
	close(run.stop)
	down := make(chan struct{})
	go func() {
		run.server.Shutdown()
		run.server.WaitForShutdown()
		release(lock)
		close(down)
	}()
	select {
	case <-down:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop nats: %w", ctx.Err())
	}
}

// Restart starts the server again on the same store and port, with the same
// password, after stopping it if it still runs.
func (n *NATS) Restart(ctx context.Context) error {
	if err := n.Stop(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.start(ctx); err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	return nil
}

// ended returns a channel that closes when the current run ends by itself, and a
// function that then says why.
func (n *NATS) ended() (<-chan struct{}, func() error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.run.ended, n.run.died
}

// StreamStore is the size of JetStream's file store in bytes, 0 while it is off.
func (n *NATS) StreamStore() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.run == nil || n.run.server.JetStreamConfig() == nil {
		return 0
	}
	return n.run.server.JetStreamConfig().MaxStore
}
