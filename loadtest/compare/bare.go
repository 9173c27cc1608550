//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// The edge's server settings, for a fair comparison.
const (
	readHeaderTimeout = 2 * time.Second
	writeTimeout      = 15 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 8192
	shutdownTime      = 5 * time.Second
)

// Answers of the size that notsale's have.
const (
	bareSale = `{"id":1,"opens_at":"2026-01-01T00:00:00Z","stock":%d,"sold":0,"state":"open","first_item":1,"last_item":%d}`

	barePurchase = `{"message":"Purchase successful","status":"success","item":1234,"sale":1,` +
		`"name":"Quiet Copper Lantern","position":1234,"time":"2026-01-01T00:00:01.234567Z"}`
)

var bareCheckout = `{"code":"` + strings.Repeat("c0de", 32) +
	`","item":1234,"sale":1,"name":"Quiet Copper Lantern","expires":"2026-01-01T01:00:00Z"}`

// newBare returns the handler of a sale that is never sold out.
func newBare(stock int) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	constant := func(body string) gin.HandlerFunc {
		data := []byte(body)
		return func(c *gin.Context) { c.Data(http.StatusOK, "application/json; charset=utf-8", data) }
	}
	sale := fmt.Sprintf(bareSale, stock, stock)
	g.POST("/checkout", constant(bareCheckout))
	g.POST("/purchase", constant(barePurchase))
	g.GET("/sales", constant("["+sale+"]"))
	g.GET("/sales/:id", constant(sale))
	g.GET("/readyz", constant("{}"))
	return g
}

// serveBare is the hidden subcommand: it serves until ctx ends.
func serveBare(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("serve-bare", flag.ContinueOnError)
	fs.SetOutput(os.Stderr)
	listen := fs.String("listen", "127.0.0.1:0", "address")
	stock := fs.Int("stock", 10_000, "items of the sale")
	if err := fs.Parse(args); err != nil {
		return err
	}
	srv := &http.Server{
		Addr:              *listen,
		Handler:           newBare(*stock),
		ReadHeaderTimeout: readHeaderTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
