package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrLimit is wrapped by the error of a request that the limits of the account in
// NATS do not allow; its text says which.
var ErrLimit = errors.New("stream: the account in NATS does not allow it")

// limits are what an operator must change where JetStream refuses with a code.
var limits = map[jetstream.ErrorCode]string{
	jetstream.JSErrCodeJetStreamNotEnabledForAccount: "it has no JetStream: enable jetstream in it",
	jetstream.JSErrCodeJetStreamNotEnabled:           "nobody answers for JetStream: enable jetstream in NATS, or give its domain by --nats-domain",
	codeNoLimits:                                     "it has no JetStream for streams of so many replicas: give it a tier",
	jetstream.JSErrCodeMaximumConsumersLimit:         "raise max_consumers: a stream has one for each process that reads it, the directory of sales one for each edge and recorder",
	codeMaximumStreams:                               "raise max_streams: a sale has two, and there are some more",
	codeMaxBytesRequired:                             "set max_bytes_required: false, for the directory of sales has no size",
	codeStreamTooLarge:                               "raise disk_max_stream_bytes, or give a smaller --sale-bytes and --attempt-bytes",
}

// explained adds what to do to an error of JetStream's that only an operator mends.
func explained(err error) error {
	var code jetstream.ErrorCode
	if is := (*jetstream.APIError)(nil); errors.As(err, &is) {
		code = is.ErrorCode
	} else if is := (*nats.APIError)(nil); errors.As(err, &is) { // of a bucket's watch
		code = jetstream.ErrorCode(is.ErrorCode)
	}
	if do, known := limits[code]; known {
		return fmt.Errorf("%w: %s: %w", ErrLimit, do, err)
	}
	return err
}

// ask makes a request to JetStream by publishing to one of these subjects, or to one
// that begins so where it ends in a dot. It ends at once when NATS is gone, or
// forbids it: ErrDenied; else after RequestTimeout. ErrLimit: the account's limits do.
func (c *Client) ask(ctx context.Context, request func(context.Context) error, subjects ...string) error {
	return c.askFor(ctx, c.cfg.RequestTimeout, request, subjects...)
}

// askFor is ask with another timeout.
func (c *Client) askFor(ctx context.Context, timeout time.Duration, request func(context.Context) error, subjects ...string) error {
	ctx, cancel := c.during(ctx, timeout)
	defer cancel()
	ctx, done := c.permissions.during(ctx, subjects...)
	defer done()
	err := request(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrDenied) {
		err = cause
	}
	if errors.Is(err, nats.ErrNoResponders) && strings.HasPrefix(subjects[0], c.api) {
		err = fmt.Errorf("%w: %w", jetstream.ErrJetStreamNotEnabled, err)
	}
	err = explained(err)
	c.failing.note(subjects[0], err)
	return err
}

// failing is which requests fail, for reasons that only an operator mends. Safe for
// any number of callers.
type failing struct {
	mu sync.Mutex
	of map[string]failure // by subject; guarded by mu
}

type failure struct {
	err error
	at  time.Time
}

// failureLife is how long a request that failed counts, if it is not made again.
const failureLife = 30 * time.Second

// note takes how a request ended, and reports whether it fails for the first time.
func (f *failing) note(subject string, err error) (fresh bool) {
	if errors.Is(err, ErrDenied) && strings.HasSuffix(subject, "."+probeStream) { // it may be
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !errors.Is(err, ErrDenied) && !errors.Is(err, ErrLimit) {
		delete(f.of, subject)
		return false
	}
	if f.of == nil {
		f.of = map[string]failure{}
	}
	had := f.of[subject]
	f.of[subject] = failure{err, time.Now()}
	return time.Since(had.at) > failureLife
}

// last returns the failure of the first subject, by name, that fails, or nil.
func (f *failing) last() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var subjects []string
	for subject, failed := range f.of {
		if time.Since(failed.at) > failureLife {
			delete(f.of, subject)
			continue
		}
		subjects = append(subjects, subject)
	}
	if len(subjects) == 0 {
		return nil
	}
	return f.of[slices.Min(subjects)].err
}

// Trouble says, without asking, why this client cannot do all of its work now: NATS
// is not connected, or forbids something, or its account's limits do. nil: it is not
// known that it cannot.
func (c *Client) Trouble() error {
	return errors.Join(c.Unusable(), c.failing.last())
}

// Unusable says, without asking, why nothing can be bought over this client: NATS
// is not connected, or refuses a subscription or a publish. nil: it is not known
// that it does.
func (c *Client) Unusable() error {
	if !c.Connected() {
		return c.away()
	}
	return c.Refused()
}
