package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"notsale/loadtest/hammer/shopper/shoppertest"
)

func hammerAt(t *testing.T, s *shoppertest.Server, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	var out, errs bytes.Buffer
	status = run(t.Context(), append([]string{"--target", srv.URL, "--clients", "4"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

func TestReport(t *testing.T) {
	status, out, stderr := hammerAt(t, &shoppertest.Server{Stock: 40, Limit: 2, First: 1}, "--limit", "2", "--users", "25")
	if status != exitOK {
		t.Errorf("exit status %d\n%s%s", status, out, stderr)
	}
	for _, want := range []string{
		"40 items, 0 sold before; 4 clients, 25 users", "40 sold in", "requests/s", "p99 ms",
		"checkout answers:  200 × 40", "purchase answers:  200 × 40", "ok      nobody is over the limit",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestJSONReportOfAFailedCheck(t *testing.T) {
	status, out, stderr := hammerAt(t, &shoppertest.Server{Stock: 40, Limit: 10, First: 1, Fault: shoppertest.Forget}, "--json")
	var rep report
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr)
	}
	if status != exitFailed || rep.OK || rep.Granted != 40 || rep.Purchase.Statuses[200] != 40 {
		t.Errorf("exit status %d, %+v", status, rep)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--users", "1"},                   // cannot buy 40 items
		{"--sale", "7"},                    // is not there
		{"--target", "http://192.0.2.1"},   // not this machine
		{"--target", "http://example.com"}, // not this machine
		{"--clients", "0"},
		{"--nonsense"},
		{"stray"},
	} {
		if status, out, _ := hammerAt(t, &shoppertest.Server{Stock: 40, Limit: 10, First: 1}, args...); status != exitUsage || out != "" {
			t.Errorf("%v: exit status %d %s", args, status, out)
		}
	}
	if !loopback("http://localhost:1") || !loopback("http://127.0.0.9:1") || !loopback("http://[::1]:1") {
		t.Error("a loopback target was refused")
	}
}
