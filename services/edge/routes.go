package edge

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"

	"notsale/pkg/telemetry"
)

// routes returns the handler of all routes.
func (e *Edge) routes() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	_ = r.SetTrustedProxies(e.cfg.TrustedProxies) // Validate has looked; else Gin trusts everybody
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	r.Use(e.guard)
	r.NoRoute(e.metrics.route("none"), func(c *gin.Context) { refuse(c, problemNoRoute, "See / for the page of the sale.") })
	r.NoMethod(e.metrics.route("none"), func(c *gin.Context) { refuse(c, problemMethod, "See the Allow header.") })

	handle := func(method, path string, h gin.HandlerFunc) {
		r.Handle(method, path, e.metrics.route(method+" "+path), h)
	}
	handle(http.MethodPost, "/checkout", e.checkout)
	handle(http.MethodPost, "/purchase", e.purchase)
	handle(http.MethodGet, "/purchase", e.decision)
	handle(http.MethodGet, "/sales", e.sales)
	handle(http.MethodGet, "/sales/:id", e.sale)
	handle(http.MethodGet, "/sales/:id/items", e.items)
	handle(http.MethodGet, "/items/:id", e.item)
	handle(http.MethodGet, "/items/:id/image", e.image)
	handle(http.MethodGet, "/health", e.healthz)
	handle(http.MethodGet, "/livez", func(c *gin.Context) { reply(c, http.StatusOK, gin.H{"status": "ok"}) })
	handle(http.MethodGet, "/readyz", e.readyz)
	handle(http.MethodGet, "/", page("index.html", "text/html; charset=utf-8"))
	handle(http.MethodGet, "/app.js", page("app.js", "text/javascript; charset=utf-8"))
	handle(http.MethodGet, "/style.css", page("style.css", "text/css; charset=utf-8"))
	return r
}

// guard comes before every handler: a request id, headers that keep browsers
// strict, no body, and a panic that ends one request only.
func (e *Edge) guard(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			e.metrics.panics.Inc()
			e.log.Error("a request ended in a panic", "panic", p, "stack", string(debug.Stack()))
			refuse(c, problemInternal, "Send the same request again.")
		}
	}()
	h := c.Writer.Header()
	h.Set("X-Request-ID", requestID())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	if e.draining.Load() {
		h.Set("Connection", "close") // the client's next request goes to another edge
	}
	if c.Request.ContentLength != 0 {
		c.Header("Connection", "close")
		refuse(c, problemBody, "Send the parameters in the URL.")
		return
	}
	c.Next()
}

func requestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24; an id is only a help
	return hex.EncodeToString(b[:])
}

// healthz is the brief's health check: database, redis and nats.
func (e *Edge) healthz(c *gin.Context) {
	status, body := telemetry.Report(e.health.Check(c.Request.Context()))
	c.Header("Cache-Control", "no-store")
	reply(c, status, body)
}

func (e *Edge) readyz(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	if err := e.Ready(c.Request.Context()); err != nil {
		c.Header("Retry-After", retryAfter)
		reply(c, http.StatusServiceUnavailable, gin.H{"status": "error", "reason": err.Error()})
		return
	}
	reply(c, http.StatusOK, gin.H{"status": "ok"})
}
