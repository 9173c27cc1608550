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

// outage is why a client is not connected. Each reason is logged once, until it is
// connected again. Safe for any number of callers.
type outage struct {
	mu     sync.Mutex      // guards what follows
	told   map[string]bool // reasons
	reason error           // the last; nil: none is known
}

// tell takes why a connection was not made, or was lost.
func (o *outage) tell(err error, log *slog.Logger) {
	said, why := advice(err), briefly(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reason = fmt.Errorf("%s: %s", said, why)
	key := said + anew.ReplaceAllString(why, "")
	if said == certificateRefused { // by an alert or a closed connection, whichever comes first
		key = said
	}
	if o.told[key] {
		return
	}
	if o.told == nil {
		o.told = map[string]bool{}
	}
	o.told[key] = true
	log.Warn(said+", trying on", "error", why)
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
	login := []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
	}
	for _, refused := range login {
		if errors.Is(err, refused) {
			return "NATS refuses the login: user and password of NATS_URL, --nats-creds, --nats-nkey or --nats-cert are not, or no longer, those that it knows"
		}
	}
	unknown, name, invalid := x509.UnknownAuthorityError{}, x509.HostnameError{}, x509.CertificateInvalidError{}
	switch {
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "NATS has no TLS, which tls:// in NATS_URL, --nats-ca or --nats-cert asks for"
	case errors.As(err, &unknown):
		return "NATS's certificate is signed by nobody who is known here: give --nats-ca"
	case errors.As(err, &name):
		return "NATS's certificate is for another name than NATS_URL has"
	case errors.As(err, &invalid):
		return "NATS's certificate is not valid"
	case strings.Contains(err.Error(), "remote error: tls"), strings.Contains(err.Error(), "closed by remote after TLS handshake"): // they have no types
		return certificateRefused
	case errors.Is(err, nats.ErrTLS):
		return "NATS and this client do not come to speak TLS"
	}
	return "NATS does not answer"
}

// briefly leaves of an error what is the same at each try.
func briefly(err error) string {
	var failed *net.OpError
	if errors.As(err, &failed) && failed.Err != nil && failed.Addr != nil {
		return fmt.Sprintf("%s %v: %v", failed.Op, failed.Addr, failed.Err)
	}
	return err.Error()
}

// anew finds what each try words anew: the time at which a certificate had expired,
// the port from which a name was asked for.
var anew = regexp.MustCompile(`\d+-\d+-\d+T\S+|\S+->`)

// outageLook is the time between two looks at why there is no connection.
const outageLook = 50 * time.Millisecond

// watchOutage tells why the client is not connected, until it is, or is closed. The
// library tells by a call only of what it cannot dial.
func (c *Client) watchOutage(nc *nats.Conn) {
	for ; nc.IsReconnecting(); time.Sleep(outageLook) {
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
