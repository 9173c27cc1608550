package edge

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// anyOrigin is all origins, in Config.CORSOrigins. The API uses no cookies, so a page
// gets nothing that anybody else could not get.
const anyOrigin = "*"

// validOrigin reports an origin that no browser would send.
func validOrigin(origin string) error {
	u, err := url.Parse(origin)
	exact := err == nil && u.Host != "" && u.Scheme+"://"+u.Host == origin && strings.ToLower(origin) == origin
	if origin != anyOrigin && (!exact || strings.Contains(origin, "*")) {
		return fmt.Errorf("--cors-origins %q: want *, or scheme://host or scheme://host:port, comma-separated", origin)
	}
	return nil
}

// share lets pages of the origins that may use the API read the answer.
func (e *Edge) share(c *gin.Context) {
	if len(e.cfg.CORSOrigins) == 0 {
		return
	}
	h := c.Writer.Header()
	h.Add("Vary", "Origin")
	origin := c.GetHeader("Origin")
	if origin == "" || !slices.Contains(e.cfg.CORSOrigins, origin) && !slices.Contains(e.cfg.CORSOrigins, anyOrigin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID")
}

// noMethod answers a request whose method its path does not have: a browser's
// question whether a page from elsewhere may send one, or a mistake.
func (e *Edge) noMethod(c *gin.Context) {
	h := c.Writer.Header()
	asks := c.Request.Method == http.MethodOptions && c.GetHeader("Access-Control-Request-Method") != ""
	if !asks || h.Get("Access-Control-Allow-Origin") == "" {
		refuse(c, problemMethod, "See the Allow header.")
		return
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
	h.Set("Access-Control-Allow-Headers", "*")
	h.Set("Access-Control-Max-Age", "600")
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
}
