package edge

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"notsale/pkg/sale"
)

// identity is how an edge knows a request's user: by nobody's word but that of a
// trusted proxy, in a header of its own, or, without a header, not at all. A
// request without that word is no attempt and is not recorded.
type identity struct {
	header  string // as net/http spells it; empty: user_id is believed
	proxies *proxies
}

// user returns the user whom the request's proxy names, "" where there is no
// header, or answers the request itself. Not from whom the header might have come
// through unread: it is refused from any other address, given twice, or a list.
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
