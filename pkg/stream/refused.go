package stream

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/wire"
)

// ErrDenied is wrapped by the error of a publish that NATS's permissions forbid:
// it was not stored.
var ErrDenied = errors.New("stream: NATS's permissions forbid it")

// refusedPause is how long a refused subscription rests before it is made again.
const refusedPause = time.Second

// violation reads what the server says of a subject that is forbidden.
var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// permissions is what a client does where NATS forbids something: the server
// says so beside the calls that it refuses. Safe for any number of callers.
type permissions struct {
	mu        sync.Mutex           // held over no call to the library
	outgoing  map[*outgoing]bool   // publishes and requests under way; guarded by mu
	listeners map[string]*listener // by subject; guarded by mu
	refused   string               // subject of another subscription, until the next session; guarded by mu
	forbidden map[string]bool      // subjects of messages, tried until they are not; guarded by mu
}

// outgoing is a publish, or a request, under way.
type outgoing struct {
	subjects []string // one of them; all that begin so, where it ends in a dot
	deny     context.CancelCauseFunc
}

func newPermissions() *permissions {
	return &permissions{outgoing: map[*outgoing]bool{}, listeners: map[string]*listener{}, forbidden: map[string]bool{}}
}

// during returns a context of a publish to one of the subjects, which ends with
// ErrDenied as its cause when the server forbids it.
func (p *permissions) during(ctx context.Context, subjects ...string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	one := &outgoing{subjects, cancel}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outgoing[one] = true
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.outgoing, one)
		cancel(nil)
	}
}

// onViolation takes what the server says, and reports whether it is of this kind.
func (c *Client) onViolation(err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	match := violation.FindStringSubmatch(err.Error())
	if match == nil {
		return false
	}
	if strings.EqualFold(match[1], "publish") {
		if !c.permissions.deny(match[2]) {
			c.onUnawaited(match[2])
		}
		return true
	}
	c.onRefused(match[2], err)
	return true
}

// deny tells whoever has published to the subject, and reports whether somebody
// waits for what becomes of it.
func (p *permissions) deny(subject string) (awaited bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.outgoing {
		if slices.ContainsFunc(one.subjects, func(s string) bool {
			return s == subject || strings.HasSuffix(s, ".") && strings.HasPrefix(subject, s)
		}) {
			one.deny(fmt.Errorf("%w: to publish to %q", ErrDenied, subject))
			awaited = true
		}
	}
	return awaited
}

// onUnawaited tells of a publish whose fate nobody waits for, such as a reply's.
// Many subjects differ by a last word.
func (c *Client) onUnawaited(subject string) {
	err := fmt.Errorf("%w: to publish to %q", ErrDenied, subject)
	if c.failing.note(subject[:strings.LastIndexByte(subject, '.')+1], err) {
		c.log.Warn("NATS forbids to publish", "subject", subject)
	}
}

// onRefused makes a refused subscription again, after a pause and until it is
// accepted: one of Replies by itself, others, which the library owns, by a new
// session.
func (c *Client) onRefused(subject string, err error) {
	p := c.permissions
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.listeners[subject]; l != nil {
		if !l.deaf {
			l.deaf = true
			c.log.Warn("NATS refuses a subscription, trying on", "subject", subject, "error", err)
			time.AfterFunc(refusedPause, func() { l.again(c) })
		}
		return
	}
	if p.refused == "" {
		c.log.Warn("NATS refuses a subscription, trying on with new sessions", "subject", subject, "error", err)
		time.AfterFunc(refusedPause, func() { _ = c.nc.ForceReconnect() }) // it fails when the client is closed
	}
	p.refused = subject
}

// onForbidden tries a subject, after a pause and until it is allowed, to which a
// message could not be published.
func (c *Client) onForbidden(subject string) {
	p := c.permissions
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forbidden[subject] {
		return
	}
	p.forbidden[subject] = true
	c.log.Warn("NATS forbids to publish, trying on", "subject", subject)
	time.AfterFunc(refusedPause, func() { c.tryForbidden(subject) })
}

// nowhere is a stream that there is none of: a message that expects to be stored
// there is not stored, but NATS says so only to who may publish it.
const nowhere = "NOWHERE"

// Rehearse publishes nothing where an edge publishes, so that Refused tells what
// NATS forbids before anybody wants to buy.
func (c *Client) Rehearse(ctx context.Context) {
	for _, subject := range []string{purchaseSubject(0), checkoutSubject(wire.AttemptStream{})} {
		if errors.Is(c.send(ctx, subject, nil, jetstream.WithExpectStream(nowhere)), ErrDenied) {
			c.onForbidden(subject)
		}
	}
}

func (c *Client) tryForbidden(subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.RequestTimeout)
	defer cancel()
	err := c.send(ctx, subject, nil, jetstream.WithExpectStream(nowhere))
	if c.nc.IsClosed() {
		return
	}
	if !c.Connected() || errors.Is(err, ErrDenied) || errors.Is(err, ErrAmbiguous) {
		time.AfterFunc(refusedPause, func() { c.tryForbidden(subject) })
		return
	}
	p := c.permissions
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.forbidden, subject)
	c.log.Info("NATS lets publish again", "subject", subject)
}

// onSession forgets what the session before was refused.
func (p *permissions) onSession() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = ""
}

// Refused reports which subscription NATS refuses, so that whoever waits for
// messages waits in vain, or which publish; nil: none.
func (c *Client) Refused() error {
	p := c.permissions
	p.mu.Lock()
	defer p.mu.Unlock()
	subject := p.refused
	for _, l := range p.listeners {
		if l.deaf {
			subject = l.subject
		}
	}
	if subject != "" {
		return fmt.Errorf("%w: to subscribe to %q", ErrDenied, subject)
	}
	for subject := range p.forbidden {
		return fmt.Errorf("%w: to publish to %q", ErrDenied, subject)
	}
	return nil
}

// listener is a subscription of Replies.
type listener struct {
	subject string
	handle  nats.MsgHandler
	deaf    bool // refused, and not accepted since; guarded by the mu of permissions

	mu     sync.Mutex // guards what follows, over calls to the library
	sub    *nats.Subscription
	closed bool
}

// subscribe makes the subscription. The caller holds mu.
func (l *listener) subscribe(nc *nats.Conn) error {
	sub, err := nc.Subscribe(l.subject, l.handle)
	if err != nil {
		return err
	}
	// No limit: a slow edge must not lose replies, and waiters bound them.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	l.sub = sub
	return nil
}

// again makes the refused subscription once more. What the server says of it
// comes before its answer to the flush.
func (l *listener) again(c *Client) {
	before := c.nc.LastError()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	_ = l.sub.Unsubscribe() // the server does not know it any more
	err := l.subscribe(c.nc)
	l.mu.Unlock()
	if errors.Is(err, nats.ErrConnectionClosed) {
		return
	}
	if err == nil {
		err = c.nc.FlushTimeout(c.cfg.RequestTimeout)
	}
	if after := c.nc.LastError(); err == nil && after != before { //nolint:errorlint // whether it is another one
		err = after
	}
	p := c.permissions
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		time.AfterFunc(refusedPause, func() { l.again(c) })
		return
	}
	l.deaf = false
	c.log.Info("NATS accepts the subscription again", "subject", l.subject)
}

// Replies hands every message of replies for this edge to the handler, one at
// a time, until stop is called. The handler must be quick. Where NATS refuses
// the subscription, also later, it is made again until it is accepted: see Refused.
func (c *Client) Replies(edge string, handle func(data []byte)) (stop func(), err error) {
	l := &listener{subject: replySubject(edge), handle: func(m *nats.Msg) { handle(m.Data) }}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.permissions.listen(l)
	if err := l.subscribe(c.nc); err != nil {
		c.permissions.forget(l)
		return nil, fmt.Errorf("stream: subscribing to replies: %w", err)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closed = true
		c.permissions.forget(l)
		_ = l.sub.Unsubscribe()
	}, nil
}

func (p *permissions) listen(l *listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners[l.subject] = l
}

func (p *permissions) forget(l *listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.listeners, l.subject)
}
