// Package overlay builds the program with some of its files changed, without changing
// the tree: `go build -overlay`.
package overlay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Overlay is the files that a build takes instead of those of a tree.
type Overlay struct {
	root   string // of the tree
	folder string // where the changed files are kept
	files  map[string]string
}

// New returns an overlay of the tree at root that changes nothing. It writes into an
// empty folder.
func New(root, folder string) (*Overlay, error) {
	absolute, err := filepath.Abs(root)
	return &Overlay{root: absolute, folder: folder, files: map[string]string{}}, err
}

// Read returns a file, named from the root of the tree, as the build sees it.
func (o *Overlay) Read(name string) ([]byte, error) {
	path := filepath.Join(o.root, filepath.FromSlash(name))
	if changed, ok := o.files[path]; ok {
		path = changed
	}
	return os.ReadFile(path)
}

// Write changes a file, or adds one.
func (o *Overlay) Write(name string, text []byte) error {
	path := filepath.Join(o.root, filepath.FromSlash(name))
	changed, known := o.files[path]
	if !known {
		changed = filepath.Join(o.folder, fmt.Sprintf("%d_%s", len(o.files), filepath.Base(name)))
		o.files[path] = changed
	}
	return os.WriteFile(changed, text, 0o600)
}

// Remove takes a file away.
func (o *Overlay) Remove(name string) {
	o.files[filepath.Join(o.root, filepath.FromSlash(name))] = "" // as go build has it
}

// Patch applies a unified diff, in which line numbers do not count: what a hunk
// takes away, with the lines around it, must occur in the file exactly once.
func (o *Overlay) Patch(path string) error {
	diff, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var name string
	hunks := 0
	var before, after bytes.Buffer
	hunk := func() error {
		defer before.Reset()
		defer after.Reset()
		if before.Len()+after.Len() == 0 {
			return nil
		}
		hunks++
		text, err := o.Read(name)
		if err != nil {
			return err
		}
		if n := bytes.Count(text, before.Bytes()); n != 1 {
			return fmt.Errorf("%s does not apply any more: in %s these lines occur %d times:\n%s", path, name, n, &before)
		}
		return o.Write(name, bytes.Replace(text, before.Bytes(), after.Bytes(), 1))
	}
	for line := range bytes.Lines(diff) {
		switch kind, rest := line[0], line[1:]; {
		case bytes.HasPrefix(line, []byte("--- a/")):
			err = hunk()
		case bytes.HasPrefix(line, []byte("+++ b/")):
			name = strings.TrimSpace(string(line[len("+++ b/"):]))
		case kind == '@':
			err = hunk()
		case kind == '-':
			before.Write(rest)
		case kind == '+':
			after.Write(rest)
		case kind == ' ':
			before.Write(rest)
			after.Write(rest)
		}
		if err != nil {
			return err
		}
	}
	if err := hunk(); err != nil || hunks > 0 {
		return err
	}
	return fmt.Errorf("%s changes nothing", path)
}

// Flag writes the overlay down and returns the flag that has go build take it.
func (o *Overlay) Flag() (string, error) {
	text, err := json.Marshal(map[string]any{"Replace": o.files})
	if err != nil {
		return "", err
	}
	path := filepath.Join(o.folder, "overlay.json")
	return "-overlay=" + path, os.WriteFile(path, text, 0o600)
}
