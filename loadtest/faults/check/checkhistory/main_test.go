package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notsale/loadtest/faults/check"
	"notsale/pkg/wire"
)

func save(t *testing.T, h *check.History) string {
	path := filepath.Join(t.TempDir(), "run.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := check.Write(f, h); err != nil {
		t.Fatal(err)
	}
	return path
}

// oneCheckout is the history of one checkout, with its row.
func oneCheckout() *check.History {
	return &check.History{
		Ledgers:    []check.Ledger{{Sale: 1, Stock: 10, UserLimit: 1, FirstItem: 1}},
		Operations: []check.Operation{{Kind: check.Checkout, Start: 1, End: 2, Item: 3, User: "u", Code: "c", Status: 200}},
		Attempts:   []check.Attempt{{ID: "a", Sale: 1, User: "u", Item: "3", Outcome: wire.Issued, Code: "c"}},
	}
}

func TestExitStatus(t *testing.T) {
	sound := save(t, oneCheckout())
	spoilt := oneCheckout()
	spoilt.Attempts = nil
	bad := save(t, spoilt)
	for _, c := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{sound}, exitOK, "PASS"},
		{[]string{bad}, exitFailed, "FAIL: I4 ×1"},
		{[]string{"--sold-out", sound}, exitFailed, "sold 0 of 10"},
		{[]string{"main.go"}, exitUsage, "not a history file"},
		{[]string{"missing"}, exitUsage, "missing"},
		{nil, exitUsage, "usage"},
		{[]string{"--nonsense", sound}, exitUsage, "usage"},
		{[]string{"-h"}, exitOK, "-json"},
	} {
		var out bytes.Buffer
		if got := run(c.args, &out, &out); got != c.want || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: exit %d, want %d with %q:\n%s", c.args, got, c.want, c.says, &out)
		}
	}
}

func TestJSON(t *testing.T) {
	h := oneCheckout()
	h.Attempts = nil
	var out bytes.Buffer
	if got := run([]string{"--json", save(t, h)}, &out, &out); got != exitFailed {
		t.Fatalf("exit %d:\n%s", got, &out)
	}
	var r check.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.OK || r.Violated[check.I4] != 1 || len(r.Findings) != 1 || len(r.Findings[0].Operations) != 1 {
		t.Errorf("read %+v", r)
	}
}
