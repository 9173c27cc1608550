package edge

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"notsale/pkg/telemetry"
)

// routes returns the handler of all routes.
func (e *Edge) routes() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	_ = r.SetTrustedProxies(nil) // else Gin trusts everybody; see proxies
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	r.Use(e.guard)
	r.NoRoute(e.metrics.route("none"), e.fitting, func(c *gin.Context) { refuse(c, problemNoRoute, elsewhere(r, c.Request.URL.Path)) })
	r.NoMethod(e.metrics.route("none"), e.fitting, e.noMethod)

	r.POST("/checkout", e.metrics.route("POST /checkout"), e.checkout)
	r.POST("/purchase", e.metrics.route("POST /purchase"), e.fitting, e.purchase)
	get := func(path string, h gin.HandlerFunc) { // net/http leaves the body of an answer to HEAD out
		handlers := []gin.HandlerFunc{e.metrics.route("GET " + path), e.fitting, h}
		r.GET(path, handlers...)
		r.HEAD(path, handlers...)
	}
	get("/purchase", e.decision)
	get("/sales", e.sales)
	get("/sales/:id", e.sale)
	get("/sales/:id/items", e.items)
	get("/items/:id", e.item)
	get("/items/:id/image", e.image)
	get("/health", e.healthz)
	get("/livez", func(c *gin.Context) { reply(c, http.StatusOK, gin.H{"status": "ok"}) })
	get("/readyz", e.readyz)
	get("/", page("index.html", "text/html; charset=utf-8"))
	get("/app.js", page("app.js", "text/javascript; charset=utf-8"))
	get("/style.css", page("style.css", "text/css; charset=utf-8"))
	return r
}

// guard comes before every handler: a request id, headers that keep browsers
// strict, nothing cached unless the handler says so, and a panic that ends one
// request only.
func (e *Edge) guard(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			e.metrics.panics.Inc()
			e.log.Error("a request ended in a panic", "panic", p, "stack", string(debug.Stack()))
			refuse(c, problemInternal, "Send the same request again.")
		}
		if a, ok := c.Writer.(*answering); ok {
			a.answered()
		}
	}()
	h := c.Writer.Header()
	h.Set("X-Request-ID", requestID())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	e.share(c)
	if e.draining.Load() {
		h.Set("Connection", "close") // the client's next request goes to another edge
	}
	c.Next()
}

// fitting comes before all handlers but that of checkouts, which keeps what it
// refuses: a request whose body or URL is not acceptable does not get to them.
func (e *Edge) fitting(c *gin.Context) {
	err := e.arrived(c)
	if err == nil && tooLong(c.Request.URL) {
		err = errLongURL
	}
	if err != nil {
		p, detail := invalid(err)
		refuse(c, p, detail)
	}
}

// elsewhere says where to look, when there is nothing at a path.
func elsewhere(r *gin.Engine, path string) string {
	without, slash := strings.CutSuffix(path, "/")
	if !slash {
		return "See / for the page of the sale."
	}
	if slices.ContainsFunc(r.Routes(), func(route gin.RouteInfo) bool { return route.Path == without }) {
		return "The path is " + without + ", without a slash at its end."
	}
	return "No path has a slash at its end."
}

func requestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24; an id is only a help
	return hex.EncodeToString(b[:])
}

// healthz is the brief's health check: database, redis and nats.
func (e *Edge) healthz(c *gin.Context) {
	status, body := telemetry.Report(e.health.Check(c.Request.Context()))
	reply(c, status, body)
}

func (e *Edge) readyz(c *gin.Context) {
	if err := e.Ready(c.Request.Context()); err != nil {
		c.Header("Retry-After", retryAfter)
		reply(c, http.StatusServiceUnavailable, gin.H{"status": "error", "reason": err.Error()})
		return
	}
	reply(c, http.StatusOK, gin.H{"status": "ok"})
}
