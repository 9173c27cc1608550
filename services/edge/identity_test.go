package edge

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"notsale/pkg/sale"
)

// A user is whom a trusted proxy names, once; nobody else names anybody.
func TestTheUserIsWhomTheProxyNames(t *testing.T) {
	p, err := newProxies([]string{"10.0.0.0/8"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := identity{http.CanonicalHeaderKey("x-auth-user"), p}
	for _, c := range []struct {
		from   string
		values []string
		want   sale.UserID // empty: refused
	}{
		{"10.0.0.1:9", []string{"ann@example.com"}, "ann@example.com"},
		{"[::ffff:10.0.0.1]:9", []string{"ann"}, "ann"},
		{"10.0.0.1:9", nil, ""},
		{"10.0.0.1:9", []string{""}, ""},
		{"10.0.0.1:9", []string{"ann", "ann"}, ""},
		{"10.0.0.1:9", []string{"ann", "bob"}, ""},
		{"10.0.0.1:9", []string{"ann,bob"}, ""},
		{"10.0.0.1:9", []string{"a b"}, ""},
		{"10.0.0.1:9", []string{strings.Repeat("x", sale.MaxUserIDLength+1)}, ""},
		{"11.0.0.1:9", []string{"ann"}, ""},
		{"11.0.0.1:9", nil, ""},
		{"", []string{"ann"}, ""},
	} {
		answer := httptest.NewRecorder()
		g, _ := gin.CreateTestContext(answer)
		g.Request = &http.Request{RemoteAddr: c.from, Header: http.Header{"X-Auth-User": c.values, "X-Forwarded-For": {"10.0.0.2"}}}
		got, ok := i.user(g)
		if ok != (c.want != "") || ok && got != c.want || !ok && answer.Code != http.StatusForbidden {
			t.Errorf("%s, %q: %q, %t, %d, want %q", c.from, c.values, got, ok, answer.Code, c.want)
		}
	}
}
