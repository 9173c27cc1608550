package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrLimit is wrapped by the error of a request that the limits of the account in
// NATS do not allow; its text says which limit.
var ErrLimit = errors.New("stream: the account in NATS does not allow it")

// limits are what an operator must change when JetStream refuses with a code.
var limits = map[jetstream.ErrorCode]string{
	jetstream.JSErrCodeJetStreamNotEnabledForAccount: "it has no JetStream: enable jetstream in it",
	jetstream.JSErrCodeJetStreamNotEnabled:           "nobody answers for JetStream: enable jetstream in NATS, or give its domain by --nats-domain",
	codeNoLimits:                                     "it has no JetStream for streams of so many replicas: give it a tier",
	jetstream.JSErrCodeMaximumConsumersLimit:         "raise max_consumers: a stream has one for each process that reads it, the directory of sales one for each edge and recorder",
	codeMaximumStreams:                               "raise max_streams: each sale has two, and there are a few more",
	codeMaxBytesRequired:                             "set max_bytes_required: false, for the directory of sales has no size",
	codeStreamTooLarge:                               "raise disk_max_stream_bytes, or give a smaller --sale-bytes and --attempt-bytes",
}

// explained adds what to do to an error whose cause only an operator can remove.
func explained(err error) error {
	var code jetstream.ErrorCode
	if is := (*jetstream.APIError)(nil); errors.As(err, &is) {
		code = is.ErrorCode
	} else if is := (*nats.APIError)(nil); errors.As(err, &is) { // of a watch of a bucket
		code = jetstream.ErrorCode(is.ErrorCode)
	}
	if do, known := limits[code]; known {
		return fmt.Errorf("%w: %s: %w", ErrLimit, do, err)
	}
	return err
}

// ask makes a request to JetStream within RequestTimeout; see Client.request.
func ask[T any](ctx context.Context, c *Client, call func(context.Context) (T, error), subjects ...string) (answer T, err error) {
	err = c.request(ctx, c.cfg.RequestTimeout, func(ctx context.Context) (err error) { answer, err = call(ctx); return err }, subjects...)
	return answer, err
}

// request makes a request to JetStream by publishing to one of these subjects, or to
// one that begins with it if it ends in a dot. It ends at once when NATS disconnects
// or forbids the subject (ErrDenied). ErrLimit: the account's limits do not allow it.
func (c *Client) request(ctx context.Context, timeout time.Duration, call func(context.Context) error, subjects ...string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx, done := c.sending(ctx, subjects...)
	defer done()
	err := denial(ctx, call(ctx))
	if errors.Is(err, nats.ErrNoResponders) && strings.HasPrefix(subjects[0], c.api) {
		err = fmt.Errorf("%w: %w", jetstream.ErrJetStreamNotEnabled, err)
	}
	err = explained(err)
	c.failing.note(subjects[0], err)
	return err
}

// failing holds the requests that fail for reasons that only an operator can remove.
// Safe for any number of callers.
type failing struct {
	mu       sync.Mutex
	failures map[string]failure // by subject; guarded by mu
}

type failure struct {
	err error
	at  time.Time
}

// failureLife is how long a failed request counts if it is not repeated.
const failureLife = 30 * time.Second

// note takes how a request ended, and reports whether the subject began to fail.
func (f *failing) note(subject string, err error) (began bool) {
	if errors.Is(err, ErrDenied) && strings.HasSuffix(subject, "."+probeStream) { // measured does without
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !errors.Is(err, ErrDenied) && !errors.Is(err, ErrLimit) {
		delete(f.failures, subject)
		return false
	}
	if f.failures == nil {
		f.failures = map[string]failure{}
	}
	before := f.failures[subject]
	f.failures[subject] = failure{err, time.Now()}
	return time.Since(before.at) > failureLife
}

// last returns the error of the first failing subject in alphabetical order, or nil.
func (f *failing) last() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := ""
	for subject, failed := range f.failures {
		if time.Since(failed.at) > failureLife {
			delete(f.failures, subject)
		} else if first == "" || subject < first {
			first, err = subject, failed.err
		}
	}
	return err
}

// Trouble says, from what is known already, why this client cannot do all of its
// work now: NATS is not connected, or its permissions or the account's limits are in
// the way. nil: no reason is known.
func (c *Client) Trouble() error {
	return errors.Join(c.Unusable(), c.failing.last())
}

// Unusable says, from what is known already, why nothing can be bought over this
// client: NATS is not connected, or refuses a subscription or a publish. nil: no
// reason is known.
func (c *Client) Unusable() error {
	if !c.Connected() {
		return c.away()
	}
	return c.Refused()
}
