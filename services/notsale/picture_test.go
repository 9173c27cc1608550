package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"notsale/pkg/effort"
)

// README's picture of the packages is drawn from what they import: of the arrows
// those that no others lead to.
func TestREADMEShowsThePackages(t *testing.T) {
	const begin, end = "```mermaid\n", "```\n"
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(readme, []byte(begin))
	had, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		t.Fatal("README has no picture")
	}
	want := packagePicture(listPackages(t))
	if effort.Update() {
		if err := os.WriteFile("../../README.md", slices.Concat(before, []byte(begin+want+end), after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(had) != want {
		t.Errorf("README shows other packages, or other imports: run this test with NOTSALE_UPDATE=1. They are now\n%s", want)
	}
}

// packagePicture draws the services and what they are made of, in mermaid's words.
func packagePicture(list []goPackage) string {
	deps := map[string]map[string]bool{}
	for _, p := range list {
		if !within(p.path(), "pkg", "services") || within(p.path(), stages...) || within(p.path(), support...) {
			continue
		}
		deps[p.path()] = map[string]bool{}
		for _, dep := range p.own() {
			deps[p.path()][dep] = true
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, "flowchart LR")
	for _, path := range slices.Sorted(maps.Keys(deps)) {
		for _, dep := range slices.Sorted(maps.Keys(deps[path])) {
			direct := deps[dep] != nil
			for other := range deps[path] {
				direct = direct && !deps[other][dep]
			}
			if direct {
				fmt.Fprintf(&b, "  %s --> %s\n", path, dep)
			}
		}
	}
	return b.String()
}
