//go:build unix

package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

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

// NATS is a nats-server in this process, with JetStream on disk.
type NATS struct {
	daemon

	size int64 // of the store in bytes; 0: the server decides
}

// natsRun is one run of the server.
type natsRun struct {
	dir    string
	server *server.Server
	logger *natsLog
	stop   chan struct{} // closed to end the watch
	over   chan struct{} // closed when the server, or its JetStream, has ended
}

// StartNATS starts a NATS server whose streams are in cfg.Data/nats, and
// returns once it takes connections and JetStream is on. Of cfg it uses Data,
// StreamStore and Ephemeral. Clients need the password in URL. ErrInUse means
// that another notsale has locked the folder: two servers on one store would
// destroy it, and the server itself does not check.
func StartNATS(ctx context.Context, cfg Config, log *slog.Logger) (*NATS, error) {
	n := &NATS{daemon: daemon{name: "nats", cfg: cfg, log: log.With("part", "nats")}}
	n.store = n
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *NATS) prepare(context.Context) (err error) {
	if err := partFolder(n.dir, nil); err != nil {
		return err
	}
	if n.password, err = secret(n.dir+".password", nil); err != nil {
		return err
	}
	if n.size = n.cfg.StreamStore; n.size == 0 {
		n.size = storeLimit(n.dir, n.log)
	}
	return nil
}

func (n *NATS) serve(ctx context.Context) (process, error) {
	if err := repairMetas(n.dir, n.log); err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{
		ServerName:             "notsale",
		Host:                   loopback,
		Port:                   n.port,
		Username:               natsUser,
		Password:               n.password,
		MaxPayload:             maxPayload,
		JetStream:              true,
		StoreDir:               n.dir,
		JetStreamMaxStore:      n.size,
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
		if strings.Contains(err.Error(), "address already in use") { // it has no type
			err = fmt.Errorf("listen on %s: %w", n.Address(), errPortTaken)
		}
		return nil, err
	}
	run := &natsRun{dir: n.dir, server: s, logger: logger, stop: make(chan struct{}), over: make(chan struct{})}
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
	for told := false; ; {
		select {
		case <-r.stop:
			return
		case <-time.After(streamsWatch):
		}
		full := r.logger.errors().full
		if full != nil && !told {
			r.logger.log.Error("the disk is full and nothing can be sold: free some space, then NATS is started again by itself", "folder", r.dir, "need", spareRoom, "error", full)
			told = true
		}
		if !r.server.Running() || !r.server.JetStreamEnabled() || full != nil && hasRoom(r.dir, spareRoom) {
			close(r.over)
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

func (r *natsRun) ended() <-chan struct{} { return r.over }

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

// Version is the server's, such as "2.15.2".
func (n *NATS) Version() string { return server.VERSION }

// Dir is the store's folder, for fault tests.
func (n *NATS) Dir() string { return n.dir }

// end shuts the server down: it disconnects clients and writes the streams. If ctx ends
// first, that goes on in the background.
func (r *natsRun) end(ctx context.Context, gone func()) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stopWait)
		defer cancel()
	}
	close(r.stop)
	down := make(chan struct{})
	go func() {
		r.server.Shutdown()
		r.server.WaitForShutdown()
		gone()
		close(down)
	}()
	select {
	case <-down:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop nats: %w", ctx.Err())
	}
}

// StreamStore is the size of JetStream's file store in bytes, 0 while it is off.
func (n *NATS) StreamStore() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if run, ok := n.run.(*natsRun); ok && run.server.JetStreamConfig() != nil {
		return run.server.JetStreamConfig().MaxStore
	}
	return 0
}
