package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"
)

const requestTimeout = 5 * time.Second

// ErrAmbiguous is wrapped by the error of a publish that may have been stored.
var ErrAmbiguous = errors.New("stream: it is not known whether the message was stored")

// ErrUnavailable is wrapped by the error of a publish that NATS did not store,
// because it is away, or the stream is full or missing.
var ErrUnavailable = errors.New("stream: NATS does not take messages")

var errDisconnected = fmt.Errorf("%w: not connected", ErrUnavailable)

// Config says how to reach NATS and how to make streams.
type Config struct {
	URL      string // nats://user:password@host:port, several joined by commas
	Name     string // of the connection, shown by the server
	Role     string // the service, such as edge: the library hears its answers on _INBOX.<Role>.>; empty: on _INBOX.>
	Files    Files  // certificates and keys
	Domain   string // JetStream domain of the streams; empty: that of the server in URL
	Replicas int    // of each stream: 1 on a single server, 3 in a cluster
	// SaleBytes and AttemptBytes are what the two streams of a new sale reserve,
	// in bytes, less where the store is short of room. A full stream refuses
	// further requests until a scheduler has made it larger.
	SaleBytes    int64
	AttemptBytes int64
	// StoreBytes is the size of JetStream's file store, for accounts that have
	// no limit of their own; 0: measure it.
	StoreBytes int64
	// RequestTimeout bounds a request to JetStream, and a publish whose context has
	// no deadline.
	RequestTimeout time.Duration
}

// DefaultConfig reserves 32 MiB for each stream to begin with: about 190,000
// purchase requests, or 100,000 attempts, half a second of the fastest flood that
// was measured.
func DefaultConfig() Config {
	return Config{URL: nats.DefaultURL, Replicas: 1, SaleBytes: 32 << 20, AttemptBytes: 32 << 20, RequestTimeout: requestTimeout}
}

// Client is a connection to NATS, safe for any number of callers. It reconnects
// by itself for ever.
type Client struct {
	cfg Config
	log *slog.Logger
	nc  *nats.Conn
	js  jetstream.JetStream
	api string // prefix of JetStream's request subjects, ends in a dot

	conn        atomic.Pointer[conn]    // the latest
	session     atomic.Pointer[session] // the latest
	files       []nats.Option           // made of Config.Files
	outage      outage
	failing     failing
	permissions *permissions
	lag         lag

	unsold  atomic.Int64       // the part of no sale that took attempts last; a hint
	looking singleflight.Group // for the last of these parts

	store     storeSize
	measuring singleflight.Group
}

// Connect connects to NATS and waits for it until the context ends.
func Connect(ctx context.Context, cfg Config, log *slog.Logger) (*Client, error) {
	for one := range strings.SplitSeq(cfg.URL, ",") {
		if _, err := url.Parse(strings.TrimSpace(one)); err != nil { // its text would repeat the password
			return nil, errors.New("stream: NATS_URL is not a valid URL: escape special characters in the user or password (% as %25)")
		}
	}
	files, err := cfg.Files.options()
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	c := &Client{cfg: cfg, log: log, files: files, permissions: &permissions{outgoing: map[*outgoing]bool{}, listeners: map[string]*listener{}, forbidden: map[string]bool{}}}
	c.begin()
	for {
		if c.nc, err = nats.Connect(cfg.URL, c.options()...); err == nil {
			break
		}
		c.outage.tell(err, log)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("stream: NATS_URL: %s: %w: %w", advice(err), err, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
	c.outage.over()
	timeout := jetstream.WithDefaultTimeout(cfg.RequestTimeout)
	if c.api = jetstream.DefaultAPIPrefix; cfg.Domain == "" {
		c.js, err = jetstream.New(c.nc, timeout)
	} else {
		c.api = "$JS." + cfg.Domain + ".API."
		c.js, err = jetstream.NewWithDomain(c.nc, cfg.Domain, timeout)
	}
	if err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("stream: %w", err)
	}
	return c, nil
}

func (c *Client) options() []nats.Option {
	options := []nats.Option{
		nats.Name(c.cfg.Name),
		nats.Timeout(handshakeTimeout),
		nats.SetCustomDialer(&dialer{Dialer: net.Dialer{Timeout: dialTimeout}, last: &c.conn}),
		nats.FlusherTimeout(0), // conn has a limit of its own: it tells a slow write from one that is stuck
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // an operator may repair a refused login
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.NoCallbacksAfterClientClose(),
		nats.ReconnectBufSize(-1), // a publish while disconnected fails at once
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			c.session.Load().end()
			c.log.Warn("NATS disconnected, reconnecting", "error", err)
			go c.watchOutage(nc)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.outage.tell(err, c.log) }),
		nats.ReconnectHandler(func(*nats.Conn) {
			c.outage.over()
			c.begin()
			c.permissions.onSession()
			c.log.Info("NATS connected again")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			if c.onViolation(err) || s == nil && !c.Connected() { // watchOutage logs the latter
				return
			}
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			c.log.Warn("NATS reports an error", "subject", subject, "error", err)
		}),
	}
	options = append(options, c.files...)
	if c.cfg.Role != "" {
		options = append(options, nats.CustomInboxPrefix(nats.InboxPrefix+c.cfg.Role))
	}
	return options
}

// Connected reports whether the connection is up, without asking the server. It
// never blocks.
func (c *Client) Connected() bool { return c.live().Err() == nil }

// Ping reports whether NATS answers, JetStream included.
func (c *Client) Ping(ctx context.Context) error {
	if !c.Connected() {
		return c.away()
	}
	err := c.request(ctx, c.cfg.RequestTimeout, func(ctx context.Context) error {
		return interruptible(ctx, func() error { _, err := c.js.AccountInfo(ctx); return err })
	}, c.api+"INFO")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// Close disconnects. Publishes under way fail. A connection that takes no bytes is
// cut after writeStall.
func (c *Client) Close() {
	cut := time.AfterFunc(writeStall, func() { _ = c.conn.Load().Close() })
	defer cut.Stop()
	c.nc.Close()
	c.session.Load().end()
}
