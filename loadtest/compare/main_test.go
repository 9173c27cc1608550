//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"notsale/loadtest/hammer/shopper/shoppertest"
)

// The test program plays both servers: compare starts it again, as itself for
// the bare handler and as the notsale program.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || (os.Args[1] != serveBareCommand && os.Args[1] != "up") {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	var err error
	if os.Args[1] == "up" {
		err = fakeUp(ctx, os.Args[2:])
	} else {
		err = serveBare(ctx, os.Args[2:])
	}
	stop()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fakeUp is "notsale up", in memory.
func fakeUp(ctx context.Context, args []string) error {
	value := func(name string) string { return args[slices.Index(args, name)+1] }
	if value("--data") == "" || os.Getenv("NOTSALE_LISTEN") != "" {
		return fmt.Errorf("not started as expected: %q", args)
	}
	stock, err := strconv.Atoi(value("--sale-stock"))
	if err != nil {
		return err
	}
	if stock == 13 {
		return fmt.Errorf("13 brings bad luck")
	}
	sale := &shoppertest.Server{Stock: stock, Limit: 10, First: 1}
	if stock == 14 {
		sale.Fault = shoppertest.Forget
	}
	var checkouts atomic.Int64
	handler := sale.Handler()
	go serve(value("--ops-listen"), func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE %s counter\n%s{sale=\"1\"} %d\n", attemptsMetric, attemptsMetric, checkouts.Load())
	})
	go serve(value("--listen"), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/checkout" {
			checkouts.Add(1)
		}
		handler.ServeHTTP(w, r)
	})
	<-ctx.Done()
	return nil
}

func serve(addr string, h http.HandlerFunc) {
	l, err := net.Listen("tcp", addr) //nolint:noctx // ends with the process
	if err == nil {
		err = http.Serve(l, h)
	}
	fmt.Println(err)
	os.Exit(1)
}

func compareSelf(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTSALE_LISTEN", ":1") // must not get through
	t.Setenv("TMPDIR", t.TempDir())
	var out, log bytes.Buffer
	err = run(t.Context(), append([]string{"--notsale", self, "--clients", "4", "--rest", "0"}, args...), &out, &log)
	t.Logf("%s%s", log.String(), out.String())
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) != 0 {
		t.Errorf("left %v behind", left)
	}
	return out.String(), err
}

func TestCompare(t *testing.T) {
	out, err := compareSelf(t, "--rounds", "2", "--stock", "100")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Medians of 2 rounds: 100 items, 4 connections", "| | bare Gin | notsale |",
		"Over 10 times as many requests the bare handler serves ", "Requests/s from round to round: bare ", "\n| requests/s | ", "\n| ledger complete after, s | – | 0.", "\n| attempts complete after, s | – | 0.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestCompareTellsWhatFailed(t *testing.T) {
	for stock, want := range map[string]string{
		"13": "13 brings bad luck",
		"14": "a retried code gets the same answer",
	} {
		if out, err := compareSelf(t, "--rounds", "1", "--stock", stock); err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("stock %s: got %q, %v", stock, out, err)
		}
	}
	if _, err := compareSelf(t, "--rounds", "0"); err == nil {
		t.Error("0 rounds were accepted")
	}
}

func TestMedian(t *testing.T) {
	of := func(f *figures) float64 { return f.wall.Seconds() }
	odd := []figures{{wall: 9 * time.Second}, {wall: time.Second}, {wall: 2 * time.Second}}
	if m := median(odd, of); m != 2 {
		t.Errorf("got %v, want 2", m)
	}
	if m := median(odd[:2], of); m != 5 {
		t.Errorf("got %v, want 5", m)
	}
}

func TestBareAnswersEveryRoute(t *testing.T) {
	h := newBare(7)
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/checkout?user_id=u&id=1", http.NoBody),
		httptest.NewRequest(http.MethodPost, "/purchase?code=c", http.NoBody),
		httptest.NewRequest(http.MethodGet, "/sales", http.NoBody),
		httptest.NewRequest(http.MethodGet, "/sales/1", http.NoBody),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") || w.Body.Len() < 50 {
			t.Errorf("%s: %d %s", r.URL, w.Code, w.Body)
		}
	}
}
