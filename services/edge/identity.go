package edge

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"notsale/pkg/sale"
)

// identity finds a request's user: the one that a trusted proxy names in a header.
// Without a header user_id is believed. A request whose proxy names nobody is no
// attempt and is not recorded.
type identity struct {
	header  string // as net/http spells it; empty: user_id is believed
	proxies *proxies
}

// user returns the user whom the request's proxy names, "" where no header is
// configured, or answers the request itself: 403 where it comes from another address,
// or where the header is given twice or has a list, and may be the client's own.
func (i identity) user(c *gin.Context) (known sale.UserID, ok bool) {
	if i.header == "" {
		return "", true
	}
	peer, _ := address(c.Request.RemoteAddr)
	values := c.Request.Header[i.header]
	var err error
	switch {
	case !i.proxies.trusts(peer):
		err = errors.New("this edge takes requests from its proxies only")
	case len(values) != 1 || strings.Contains(values[0], ","):
		err = errors.New("the proxy does not name one user")
	default:
		known, err = sale.ParseUserID(values[0])
	}
	if err != nil {
		refuse(c, problemIdentity, err.Error())
	}
	return known, err == nil
}

// headerName is how proxies name headers; some drop all others.
var headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

// validUserHeader reports a header that names nobody, or that anybody could set.
func validUserHeader(name string, proxies []string) error {
	switch {
	case name == "":
		return nil
	case !headerName.MatchString(name):
		return fmt.Errorf("--user-header %q: it is no name of a header", name)
	case len(proxies) == 0:
		return fmt.Errorf("--user-header %s: anybody could set it: name the proxies that do in --trusted-proxies", name)
	}
	return nil
}
