package edge

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// The client's address is read in all the forms in which proxies write it, and
// taken only from those that are trusted.
func TestTheClientBehindProxies(t *testing.T) {
	const unread = "unread"
	for _, c := range []struct {
		from, header, want string
		note               string
	}{
		{"127.0.0.1:9", "", "127.0.0.1", ""},
		{"127.0.0.1:9", "10.0.0.7", "10.0.0.7", ""},
		{"127.0.0.1:9", "10.0.0.7:4711", "10.0.0.7", ""},
		{"127.0.0.1:9", "2001:db8::7", "2001:db8::7", ""},
		{"127.0.0.1:9", "[2001:db8::7]", "2001:db8::7", ""},
		{"127.0.0.1:9", "[2001:db8::7]:4711", "2001:db8::7", ""},
		{"127.0.0.1:9", `"[2001:db8::7]:4711"`, "2001:db8::7", ""},
		{"127.0.0.1:9", "::ffff:10.0.0.7", "10.0.0.7", ""},
		{"[::ffff:127.0.0.1]:9", "10.0.0.7", "10.0.0.7", ""},
		{"127.0.0.1:9", "1.2.3.4, 10.0.0.7:4711, 192.168.1.1:80", "10.0.0.7", ""},
		{"127.0.0.1:9", "192.168.1.2,192.168.1.1", "192.168.1.2", ""},
		{"127.0.0.1:9", "junk, 10.0.0.7", "10.0.0.7", ""},
		{"127.0.0.1:9", "10.0.0.7, unknown", "127.0.0.1", unread},
		{"127.0.0.1:9", "10.0.0.7, 192.168.1.256, 192.168.1.1", "192.168.1.1", unread},
		{"8.8.8.8:9", "10.0.0.7", "8.8.8.8", ""},
	} {
		var logged bytes.Buffer
		p, err := newProxies([]string{"127.0.0.0/8", "192.168.1.1", "192.168.1.2"}, slog.New(slog.NewTextHandler(&logged, nil)))
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{RemoteAddr: c.from, Header: http.Header{}}
		if c.header != "" {
			r.Header.Set(forwarded, c.header)
		}
		for range 3 {
			if got := p.client(r); got.String() != c.want {
				t.Errorf("%s, %q: %v, want %s", c.from, c.header, got, c.want)
			}
		}
		warnings := 0
		if c.note == unread {
			warnings = 1
		}
		if n := strings.Count(logged.String(), "level=WARN"); n != warnings {
			t.Errorf("%s, %q: %d warnings, want %d", c.from, c.header, n, warnings)
		}
	}
}
