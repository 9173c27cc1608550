package main

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// literals are the strings that stand in the services and packages, and what the
// function that each is given to is called.
func literals(t *testing.T, visit func(function, text string)) {
	t.Helper()
	for _, p := range listPackages(t) {
		if !within(p.path(), "pkg", "services") || within(p.path(), stages...) {
			continue
		}
		for _, file := range p.parse(t, 0) {
			ast.Inspect(file, func(n ast.Node) bool {
				function, list := "", []ast.Expr(nil)
				switch n := n.(type) {
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.SelectorExpr); ok {
						function = f.Sel.Name
					}
					list = n.Args
				case *ast.KeyValueExpr:
					list = []ast.Expr{n.Value}
				}
				for _, e := range list {
					if literal, ok := e.(*ast.BasicLit); ok {
						if text, err := strconv.Unquote(literal.Value); err == nil {
							visit(function, text)
						}
					}
				}
				return true
			})
		}
	}
}

// README lists every kind of alarm.
func TestAlarmsAreListed(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	kind := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	seen := 0
	literals(t, func(function, text string) {
		if slices.Contains([]string{"alarm", "raise", "giveUp"}, function) && kind.MatchString(text) {
			seen++
			if !strings.Contains(string(readme), "`"+text+"`") {
				t.Errorf("README does not list the alarm %s", text)
			}
		}
	})
	if seen < 10 {
		t.Errorf("%d alarms are raised", seen)
	}
}

// Metrics have the name of the project and base units, as Prometheus wants them.
func TestMetricsAreNamed(t *testing.T) {
	name := regexp.MustCompile(`^notsale_[a-z]+(_[a-z]+)+$`)
	var seen []string
	literals(t, func(function, text string) {
		if function != "" || !strings.HasPrefix(text, "notsale_") || strings.HasSuffix(text, "_") {
			return
		}
		switch {
		case !name.MatchString(text):
			t.Errorf("%s is no name of a metric", text)
		case slices.Contains(seen, text):
			t.Errorf("%s is made in two places", text)
		case strings.Contains(text, "_ms") || strings.Contains(text, "_milliseconds") || strings.Contains(text, "_kilobytes"):
			t.Errorf("%s has no base unit", text)
		}
		seen = append(seen, text)
	})
	if len(seen) < 20 {
		t.Errorf("%d metrics: %v", len(seen), seen)
	}
}
