package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/services/edge"
)

func TestKeysAreMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	first, err := ensureKeys(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	second, err := ensureKeys(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := first.Ring().Sign(code.Claims{Sale: sale.UUID{1}, Item: 1, User: "ann", Expires: 1}, code.Nonce{})
	if _, err := second.Ring().Verify(text); err != nil {
		t.Errorf("the file's key does not verify what the made one signed: %v", err)
	}
	other, err := ensureKeys(filepath.Join(t.TempDir(), "keys.json"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Ring().Verify(text); err == nil {
		t.Error("two installations have the same key")
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) != 0 {
		t.Errorf("left beside the file: %v", left)
	}
}

func TestBadKeyFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"empty":   {"", "code-keys"},
		"no keys": {`{"keys":[]}`, "no key"},
		"short":   {`{"keys":[{"id":1,"secret":"AAAA"}]}`, "at least 32"},
		"cut":     {`{"keys":[{"id":1,"secret":"AA`, "code-keys"},
		"twice":   {`{"keys":[]} {}`, "closing brace"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ensureKeys(path, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != c.text {
			t.Errorf("%s: the file is now %q, %v", name, text, err)
		}
	}
	if _, err := edge.OpenKeys("", 0); err == nil || !strings.Contains(err.Error(), "--code-keys") {
		t.Errorf("no file: %v", err)
	}
	if _, err := edge.OpenKeys(filepath.Join(dir, "none"), 0); err == nil {
		t.Error("a file that does not exist is read")
	}
}
