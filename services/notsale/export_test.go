//go:build unix

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"notsale/pkg/backends/backendstest"
	"notsale/services/auditor/archive"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// A sale goes into an archive, and from one archive into another, by commands
// alone; the archive is audited where there are no stores.
func TestExportOfASale(t *testing.T) {
	e := audited(t)
	t.Chdir(t.TempDir())
	out, err := e.program(t, "audit", "export", "--sale", "1")
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open("sale-1.notsale.tar")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	m, err := a.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sale 1: sale-1.notsale.tar, ", " 8 of 8 sold, ", " 1 holes, ", m.Sum().String(), m.Cursor.Chain.String()} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	if strings.Contains(out, "WARNING") {
		t.Error(out)
	}
	live, err := e.program(t, "audit", "--sale", "1", "--json")
	if err != nil {
		t.Fatal(err)
	}

	nowhere := &front{&edgetest.Front{Stage: &servicetest.Stage{Test: &backendstest.Test{
		DatabaseURL: "postgres://127.0.0.1:1/none", RedisURL: "redis://127.0.0.1:1", NATSURL: "nats://127.0.0.1:1",
	}}}}
	offline, err := nowhere.program(t, "audit", "--archive", "sale-1.notsale.tar", "--json")
	if err != nil || offline != live {
		t.Errorf("offline %s %v\nlive    %s", offline, err, live)
	}
	if again, err := nowhere.program(t, "audit", "export", "--archive", "sale-1.notsale.tar", "--out", "again.tar"); err != nil {
		t.Errorf("%s %v", again, err)
	}
	if !bytes.Equal(fileText(t, "sale-1.notsale.tar"), fileText(t, "again.tar")) {
		t.Error("an export of the archive gives other bytes")
	}
}

func TestExportNeverOverwrites(t *testing.T) {
	f := newFront(t, nil)
	f.OpenSale(2, 2)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("sale-1.notsale.tar", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.program(t, "audit", "export", "--sale", "1"); !errors.Is(err, errAudit) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v", err)
	}
	if string(fileText(t, "sale-1.notsale.tar")) != "mine" {
		t.Error("it was overwritten")
	}
	out, err := f.program(t, "audit", "export", "--sale", "1", "--out", "so-far.tar")
	if err != nil || !strings.Contains(out, "WARNING the sale is not sold out") {
		t.Errorf("%s %v", out, err)
	}
}

func TestExportSaysWhatIsWrong(t *testing.T) {
	f := newFront(t, nil)
	of := f.OpenSale(2, 2)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("torn.tar", []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"give --sale N":             {},
		"not both":                  {"--sale", of.ID.String(), "--archive", "torn.tar"},
		"there is no sale 7":        {"--sale", "7"},
		"no such file":              {"--archive", "none.tar"},
		"damaged":                   {"--archive", "torn.tar"},
		"no such file or directory": {"--sale", of.ID.String(), "--out", "no/folder/x.tar"},
	} {
		if _, err := f.program(t, append([]string{"audit", "export"}, args...)...); !errors.Is(err, errAudit) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: error %v, want %q", args, err, name)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func fileText(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
