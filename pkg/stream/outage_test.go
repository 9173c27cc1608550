package stream

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
)

// A server that refuses a certificate sends an alert and closes the connection. Whichever
// the client notices first, it logs the same.
func TestARefusedCertificateIsToldOnce(t *testing.T) {
	t.Parallel()
	var (
		log strings.Builder
		o   outage
	)
	closed := &net.OpError{Op: "write", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4222}, Err: syscall.EPIPE}
	for _, err := range []error{
		fmt.Errorf("%w: connection closed by remote after TLS handshake: %w", nats.ErrTLS, closed),
		fmt.Errorf("remote error: tls: certificate required"),
		fmt.Errorf("%w: connection closed by remote after TLS handshake: %w", nats.ErrTLS, syscall.ECONNRESET),
	} {
		if o.tell(err, slog.New(slog.NewTextHandler(&log, nil))); !strings.Contains(o.last().Error(), "--nats-cert") {
			t.Errorf("%v is told as %v", err, o.last())
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}
