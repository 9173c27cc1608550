package stream

import (
	"errors"
	"net"
	"os"
	"testing"
)

// drip is a connection that takes some bytes at each write, until its deadline.
type drip struct {
	net.Conn

	takes  int
	writes int
}

func (d *drip) Write(p []byte) (int, error) {
	d.writes++
	if len(p) <= d.takes {
		return len(p), nil
	}
	return d.takes, os.ErrDeadlineExceeded
}

// A connection that takes a byte now and then is closed like one that takes none; one
// that is only slow is not.
func TestALinkThatTricklesIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes   int
		stalled bool
	}{
		"a byte at a time":     {1, true},
		"a kilobyte at a time": {1 << 10, false},
		"nothing":              {0, true},
		"all at once":          {1 << 20, false},
	} {
		client, server := net.Pipe()
		d := &drip{Conn: client, takes: c.takes}
		n, err := (&conn{Conn: d}).Write(make([]byte, 64<<10))
		if stalled := errors.Is(err, errStalled); stalled != c.stalled || !stalled && (err != nil || n != 64<<10) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if c.stalled && d.writes != writeChecks {
			t.Errorf("%s: looked at %d times", name, d.writes)
		}
		_ = errors.Join(client.Close(), server.Close())
	}
}
