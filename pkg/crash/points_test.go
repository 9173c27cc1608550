package crash_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"notsale/pkg/crash"
)

// called returns the names that crash.At is called with under a folder, and
// how often each.
func called(t *testing.T, root string, names map[string]int) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || f.Sel.Name != "At" {
				return true
			}
			if x, ok := f.X.(*ast.Ident); !ok || x.Name != "crash" {
				return true
			}
			name, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a point's name is not written out", path)
				return true
			}
			text, err := strconv.Unquote(name.Value)
			if err != nil {
				t.Error(err)
			}
			names[text]++
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every point of the list stands in the code, once, and no other does.
func TestPointsAreInTheCode(t *testing.T) {
	names := map[string]int{}
	for _, root := range []string{"../../pkg", "../../services"} {
		called(t, root, names)
	}
	points := crash.Points()
	for name, times := range names {
		if !slices.Contains(points, name) {
			t.Errorf("%s is not in the list", name)
		}
		if times > 1 {
			t.Errorf("%s stands in %d places", name, times)
		}
	}
	allocators := 0
	for i, name := range points {
		if names[name] == 0 {
			t.Errorf("%s is in the list only", name)
		}
		if slices.Contains(points[:i], name) {
			t.Errorf("%s is listed twice", name)
		}
		if strings.HasPrefix(name, "allocator/") {
			allocators++
		}
	}
	if allocators < 20 {
		t.Errorf("%d points in the allocator, want at least 20", allocators)
	}
}

// In a default build a point is nothing.
func TestAtIsNothing(t *testing.T) {
	t.Setenv("NOTSALE_CRASH_AT", crash.Points()[0])
	crash.At(crash.Points()[0])
	if n := testing.AllocsPerRun(100, func() { crash.At("allocator/before-commit") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
