package stream

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// outage is why a client is not connected. Each reason is logged once, until the
// client is connected again. Safe for any number of callers.
type outage struct {
	mu     sync.Mutex      // guards what follows
	told   map[string]bool // reasons that were logged
	reason error           // the last one; nil: none is known
}

// tell takes why a connection was not made, or was lost.
func (o *outage) tell(err error, log *slog.Logger) {
	todo, why := advice(err), brief(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reason = fmt.Errorf("%s: %s", todo, why)
	key := todo + volatile.ReplaceAllString(why, "")
	if todo == certificateRefused { // the server sends an alert and closes the connection: either error may come first
		key = todo
	}
	if o.told[key] {
		return
	}
	if o.told == nil {
		o.told = map[string]bool{}
	}
	o.told[key] = true
	log.Warn(todo+", retrying", "error", why)
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told, o.reason = nil, nil
}

func (o *outage) last() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reason
}

const certificateRefused = "NATS does not accept this client's certificate, or wants one: see --nats-cert and --nats-key"

// advice says what is wrong when NATS cannot be reached, and what to do.
func advice(err error) string {
	unknown, name, invalid := x509.UnknownAuthorityError{}, x509.HostnameError{}, x509.CertificateInvalidError{}
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired),
		errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return "NATS refuses the login: check user and password in NATS_URL, --nats-creds, --nats-nkey or --nats-cert, which may be wrong, expired or revoked"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "NATS has no TLS, but tls:// in NATS_URL, --nats-ca or --nats-cert requires it"
	case errors.As(err, &unknown):
		return "NATS's certificate is signed by an unknown authority: give --nats-ca"
	case errors.As(err, &name):
		return "NATS's certificate is for another name than the one in NATS_URL"
	case errors.As(err, &invalid):
		return "NATS's certificate is not valid"
	case strings.Contains(err.Error(), "remote error: tls"), strings.Contains(err.Error(), "closed by remote after TLS handshake"): // they have no types
		return certificateRefused
	case errors.Is(err, nats.ErrTLS):
		return "the TLS handshake with NATS fails"
	}
	return "NATS does not answer"
}

// brief returns the part of an error that is the same at each try.
func brief(err error) string {
	var failed *net.OpError
	if errors.As(err, &failed) && failed.Err != nil && failed.Addr != nil {
		return fmt.Sprintf("%s %v: %v", failed.Op, failed.Addr, failed.Err)
	}
	return err.Error()
}

// volatile matches what differs between tries: the current time, to which an expiry is
// compared, and the local port of a name lookup.
var volatile = regexp.MustCompile(`\d+-\d+-\d+T\S+|\S+->`)

// outagePoll is the time between two looks at why there is no connection.
const outagePoll = 50 * time.Millisecond

// watchOutage logs why the client is not connected, until it is, or is closed. The
// library's callback reports failed dials only, not failed handshakes.
func (c *Client) watchOutage(nc *nats.Conn) {
	for ; nc.IsReconnecting(); time.Sleep(outagePoll) {
		if err := nc.LastError(); err != nil {
			c.outage.tell(err, c.log)
		}
	}
}

// away says that NATS is not connected, and why.
func (c *Client) away() error {
	if why := c.outage.last(); why != nil {
		return fmt.Errorf("%w: %w", errDisconnected, why)
	}
	return errDisconnected
}
