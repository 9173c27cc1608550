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

// refusedPause is the time between two tries of what NATS forbids.
const refusedPause = time.Second

// violation matches the server's message about a forbidden subject.
var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// permissions is how a client finds out what NATS forbids, and when it is allowed
// again. The server does not answer a forbidden call, but sends an error that names
// the subject, which this links to the call. Safe for any number of callers.
type permissions struct {
	mu        sync.Mutex           // guards what follows; held over no call to the library
	outgoing  map[*outgoing]bool   // publishes and requests under way
	listeners map[string]*listener // by subject
	refused   string               // the library's own subscription, until the next session
	forbidden map[string]bool      // subjects of messages; each is tried until it is allowed
}

// outgoing is a publish or a request under way.
type outgoing struct {
	subjects []string // to one of these, or, where it ends in a dot, to one that begins with it
	deny     context.CancelCauseFunc
}

// sending returns the context of a publish or request to one of the subjects. It
// ends with its parent, when NATS disconnects, and when NATS forbids the subject: see
// denial.
func (c *Client) sending(ctx context.Context, subjects ...string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	leave := context.AfterFunc(c.live(), func() { cancel(nil) })
	p, one := c.permissions, &outgoing{subjects, cancel}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outgoing[one] = true
	return ctx, func() {
		leave()
		cancel(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.outgoing, one)
	}
}

// denial replaces the error of a call by ErrDenied, with the subject, if that is why
// the call's context of sending has ended.
func denial(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrDenied) {
		return cause
	}
	return err
}

// onViolation handles an error that the server sent, and reports whether it is
// about permissions.
func (c *Client) onViolation(err error) bool {
	match := violation.FindStringSubmatch(err.Error())
	if match == nil || !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	if subject := match[2]; strings.EqualFold(match[1], "publish") {
		c.onDenied(subject)
	} else {
		c.onRefused(subject, err)
	}
	return true
}

// onDenied ends the publishes and requests to a forbidden subject. If there is none,
// as with a reply, nobody waits for the outcome, and it is logged; for all subjects
// that differ only in the last token, once.
func (c *Client) onDenied(subject string) {
	err := fmt.Errorf("%w: to publish to %q", ErrDenied, subject)
	awaited := false
	p := c.permissions
	p.mu.Lock()
	for one := range p.outgoing {
		if slices.ContainsFunc(one.subjects, func(s string) bool {
			return s == subject || strings.HasSuffix(s, ".") && strings.HasPrefix(subject, s)
		}) {
			one.deny(err)
			awaited = true
		}
	}
	p.mu.Unlock()
	if !awaited && c.failing.note(subject[:strings.LastIndexByte(subject, '.')+1], err) {
		c.log.Warn("NATS forbids to publish", "subject", subject)
	}
}

// onRefused makes a refused subscription again, after a pause and until NATS accepts
// it. One of Replies is made again by itself; the library's own ones are made again
// by a new session.
func (c *Client) onRefused(subject string, err error) {
	p := c.permissions
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.listeners[subject]; l != nil {
		if !l.refused {
			l.refused = true
			c.log.Warn("NATS refuses a subscription, retrying", "subject", subject, "error", err)
			time.AfterFunc(refusedPause, func() { c.resubscribe(l) })
		}
		return
	}
	if p.refused == "" {
		c.log.Warn("NATS refuses a subscription, retrying with new sessions", "subject", subject, "error", err)
		time.AfterFunc(refusedPause, func() { _ = c.nc.ForceReconnect() }) // fails once the client is closed
	}
	p.refused = subject
}

// onSession forgets what the previous session was refused.
func (p *permissions) onSession() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = ""
}

// noStream is the name of a stream that does not exist. A message that must go to it
// is never stored, and the server says so only to a client that may publish.
const noStream = "NOWHERE"

// Rehearse tries the subjects to which an edge publishes, without storing anything,
// so that Refused reports a missing permission before anybody wants to buy.
func (c *Client) Rehearse(ctx context.Context) {
	for _, subject := range []string{purchaseSubject(0), checkoutSubject(wire.AttemptStream{})} {
		if errors.Is(c.send(ctx, subject, nil, jetstream.WithExpectStream(noStream)), ErrDenied) {
			c.onForbidden(subject)
		}
	}
}

// onForbidden tries a forbidden subject, after a pause and until NATS allows it.
func (c *Client) onForbidden(subject string) {
	p := c.permissions
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.forbidden[subject] {
		p.forbidden[subject] = true
		c.log.Warn("NATS forbids to publish, retrying", "subject", subject)
		time.AfterFunc(refusedPause, func() { c.tryForbidden(subject) })
	}
}

func (c *Client) tryForbidden(subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.RequestTimeout)
	defer cancel()
	err := c.send(ctx, subject, nil, jetstream.WithExpectStream(noStream))
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
	c.log.Info("NATS allows to publish again", "subject", subject)
}

// Refused reports a subscription that NATS refuses, without which no answers come,
// or a publish that it forbids; nil: none.
func (c *Client) Refused() error {
	p := c.permissions
	p.mu.Lock()
	defer p.mu.Unlock()
	subject := p.refused
	for _, l := range p.listeners {
		if l.refused {
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

// listener is a subscription of Replies. The mu of permissions guards sub and refused.
type listener struct {
	subject string
	handle  nats.MsgHandler
	sub     *nats.Subscription // nil: not yet made, or made in vain
	refused bool               // and not accepted since
}

// subscribeTo makes the subscription, in place of one that the server has dropped. It
// does nothing after the listener was stopped.
func (c *Client) subscribeTo(l *listener) error {
	sub, err := c.nc.Subscribe(l.subject, l.handle)
	if err == nil {
		// No limit: a slow edge must not lose replies, and waiters bound them.
		err = sub.SetPendingLimits(-1, -1)
	}
	p := c.permissions
	p.mu.Lock()
	if p.listeners[l.subject] == l {
		l.sub, sub = sub, l.sub
	}
	p.mu.Unlock()
	_ = sub.Unsubscribe() // the old one, or the new one if it is not needed
	return err
}

// resubscribe makes a refused subscription again. The server refuses it, if it does,
// before it answers the flush.
func (c *Client) resubscribe(l *listener) {
	before := c.nc.LastError()
	err := c.subscribeTo(l)
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
	switch {
	case p.listeners[l.subject] != l:
	case err != nil:
		time.AfterFunc(refusedPause, func() { c.resubscribe(l) })
	default:
		l.refused = false
		c.log.Info("NATS accepts the subscription again", "subject", l.subject)
	}
}

// Replies hands every message of replies for this edge to the handler, one at
// a time, until stop is called. The handler must be quick. If NATS refuses the
// subscription, now or later, it is made again until NATS accepts it: see Refused.
func (c *Client) Replies(edge string, handle func(data []byte)) (stop func(), err error) {
	l := &listener{subject: replySubject(edge), handle: func(m *nats.Msg) { handle(m.Data) }}
	p := c.permissions
	p.mu.Lock()
	p.listeners[l.subject] = l // before the server can refuse it
	p.mu.Unlock()
	stop = func() {
		p.mu.Lock()
		delete(p.listeners, l.subject)
		sub := l.sub
		p.mu.Unlock()
		_ = sub.Unsubscribe()
	}
	if err := c.subscribeTo(l); err != nil {
		stop()
		return nil, fmt.Errorf("stream: subscribing to replies: %w", err)
	}
	return stop, nil
}
