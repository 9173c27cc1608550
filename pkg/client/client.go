package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxBody is read of an answer: a list of a year's sales has 2 MB.
	maxBody = 16 << 20
	// maxIdle is how many connections are kept for the next requests.
	maxIdle = 1024
	// maxDoublings of the pause.
	maxDoublings = 10
)

// Config of a client. Zero values are those of DefaultConfig; Base must be set.
type Config struct {
	Base     string        // of the shop, such as http://127.0.0.1:8080
	Timeout  time.Duration // of one request; longer than the shop's own wait for a decision (--purchase-wait)
	MinPause time.Duration // about, before the first repeat
	MaxPause time.Duration // the longest, and the longest Retry-After that is honoured
	// Transport sends the requests; nil: one of the client's own. It must not repeat
	// a request by itself, nor follow redirects.
	Transport http.RoundTripper
}

// DefaultConfig returns the defaults. Base is not among them.
func DefaultConfig() Config {
	return Config{Timeout: 10 * time.Second, MinPause: 10 * time.Millisecond, MaxPause: time.Second}
}

// Client is a client of one shop. Any number of goroutines may use it.
type Client struct {
	cfg  Config
	http http.Client
}

// New returns a client. Nothing is sent yet.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.Base)
	if err != nil {
		return nil, fmt.Errorf("client: base: %w", err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Hostname() == "" || base.RawQuery != "" {
		return nil, fmt.Errorf("client: base %q: want http://host:port", cfg.Base)
	}
	cfg.Base = strings.TrimSuffix(cfg.Base, "/")
	defaults := DefaultConfig()
	cfg.Timeout = cmp.Or(cfg.Timeout, defaults.Timeout)
	cfg.MinPause, cfg.MaxPause = cmp.Or(cfg.MinPause, defaults.MinPause), cmp.Or(cfg.MaxPause, defaults.MaxPause)
	if cfg.Timeout < 0 || cfg.MinPause < 0 || cfg.MaxPause < cfg.MinPause {
		return nil, errors.New("client: want a positive timeout, and pauses from MinPause to MaxPause")
	}
	if cfg.Transport == nil {
		cfg.Transport = NewTransport()
	}
	last := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{cfg: cfg, http: http.Client{Transport: cfg.Transport, CheckRedirect: last}}, nil
}

// NewTransport returns a transport like a client's own, for several clients to share.
// It keeps a thousand idle connections to a shop.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: time.Minute, DisableCompression: true,
	}
}

// Close closes the connections that are idle. The client may be used after it.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends one request without a body, and reads its answer. Target is the path
// with its query, escaped. Any status is an answer; after an error it is unknown whether
// the shop has acted on the request.
func (c *Client) Do(ctx context.Context, method, target string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	a := Answer{Sent: time.Now()}
	err := c.send(ctx, method, target, &a)
	a.Took = time.Since(a.Sent)
	if err != nil {
		return Answer{Sent: a.Sent, Took: a.Took}, fmt.Errorf("%s %s: %w", method, public(target), err)
	}
	return a, nil
}

func (c *Client) send(ctx context.Context, method, target string, a *Answer) error {
	request, err := http.NewRequestWithContext(ctx, method, c.cfg.Base+target, http.NoBody)
	if err != nil {
		return bare(err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return bare(err)
	}
	defer response.Body.Close()
	a.Status, a.Header = response.StatusCode, response.Header
	a.Body, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err == nil && len(a.Body) > maxBody {
		err = fmt.Errorf("an answer of over %d bytes", maxBody)
	}
	return err
}

// public is a target without its query, which may hold a code.
func public(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// bare is an error of net/http without the URL.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Tries sends a request again and again, with pauses, and yields what came of
// each: an answer, or an error. It ends after a final answer, or when ctx does.
// It is for callers that want to see every try; others call Checkout and Purchase.
func (c *Client) Tries(ctx context.Context, method, target string) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		for n := 0; ; n++ {
			a, err := c.Do(ctx, method, target)
			if !yield(a, err) || a.Final() || !c.pause(ctx, n, a.RetryAfter()) {
				return
			}
		}
	}
}

// pause waits before try n+1; false: ctx ended.
func (c *Client) pause(ctx context.Context, n int, asked time.Duration) bool {
	d := min(c.cfg.MinPause<<min(n, maxDoublings), c.cfg.MaxPause)
	d = d/2 + rand.N(d/2+1) + min(asked, c.cfg.MaxPause) //nolint:gosec // spreads repeats, guards nothing
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// answered asks until the answer is final.
func (c *Client) answered(ctx context.Context, target string) (last Answer, err error) {
	for last, err = range c.Tries(ctx, http.MethodPost, target) { //nolint:revive // the last one counts
	}
	if !last.Final() {
		return last, fmt.Errorf("%w (last status %d): %w", ErrUnanswered, last.Status, errors.Join(ctx.Err(), err))
	}
	return last, nil
}
