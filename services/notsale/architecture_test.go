package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "notsale/"

// The layers. Whatever is in none of them may be imported by all services.
var (
	core     = []string{"pkg/sale", "pkg/catalogue", "pkg/code", "pkg/allocation", "pkg/wire"}
	adapters = []string{"pkg/stream", "pkg/ledger", "pkg/rejection", "pkg/backends", "pkg/telemetry", "pkg/boot"}
	// support is imported by tests, and by what sets their stages.
	support = []string{"pkg/effort"}
	stages  = []string{"pkg/backends/backendstest", "services/servicetest", "loadtest"}
	// drivers belong to adapters.
	drivers = []string{"github.com/nats-io/", "github.com/jackc/pgx/", "github.com/redis/go-redis/"}
)

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath string   `json:"ImportPath"`
	Dir        string   `json:"Dir"`
	GoFiles    []string `json:"GoFiles"`
	Imports    []string `json:"Imports"`
	Deps       []string `json:"Deps"`
}

func (p *goPackage) path() string { return strings.TrimPrefix(p.ImportPath, module) }

// listed is what `go list` says of the module's packages, without their tests.
var listed = sync.OnceValues(func() ([]byte, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Deps", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, &stderr)
	}
	return out, nil
})

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	for _, want := range slices.Concat(core, adapters, []string{"services/edge", "services/notsale"}) {
		if !slices.ContainsFunc(list, func(p goPackage) bool { return p.path() == want }) {
			t.Errorf("there is no package %s: the rules below speak of nothing", want)
		}
	}
	return list
}

// within reports whether the path is one of the folders or below it.
func within(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

// service is the folder of the service that the path belongs to.
func service(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "services/"), "/")
	return "services/" + name
}

// own are the dependencies within this module, without the package itself.
func (p *goPackage) own() []string {
	var paths []string
	for _, dep := range p.Deps {
		if path, ok := strings.CutPrefix(dep, module); ok {
			paths = append(paths, path)
		}
	}
	return paths
}

func TestArrows(t *testing.T) {
	for _, p := range listPackages(t) {
		path := p.path()
		for _, dep := range p.own() {
			if why := forbidden(path, dep); why != "" {
				t.Errorf("%s depends on %s: %s", path, dep, why)
			}
		}
		for _, imported := range p.Imports {
			if why := forbiddenImport(path, imported); why != "" {
				t.Errorf("%s imports %s: %s", path, imported, why)
			}
		}
	}
}

// forbidden says why a package may not depend on another one of this module.
func forbidden(path, dep string) string {
	switch {
	case within(dep, support...) && !within(path, stages...) && !within(path, support...):
		return "what runs for users knows nothing of tests"
	case within(dep, support...):
		return ""
	case within(path, core...) && !within(dep, core...):
		return "the core imports the core only"
	case within(path, adapters...) && within(dep, adapters...) && adapterOf(path) != adapterOf(dep):
		return "adapters never import each other"
	case within(path, adapters...) && !within(dep, core...) && adapterOf(path) != adapterOf(dep):
		return "adapters import the core only"
	case within(path, "services/archiver") && within(dep, "services/auditor"):
		return ""
	case within(path, "services") && within(dep, "services") && service(path) != service(dep) && !within(path, "services/notsale", "services/servicetest"):
		return "services never import each other"
	case within(path, "pkg") && within(dep, "services"):
		return "packages do not import services"
	case path == "pkg/client":
		return "the client knows the API, and nothing of what is behind it"
	case within(path, "pkg", "services") && within(dep, "loadtest", "deployments"):
		return "nothing imports the load tests or the deployments"
	case path == "services/servicetest" && within(dep, "services"):
		return "test support of all services imports none"
	}
	return ""
}

func adapterOf(path string) string {
	i := slices.IndexFunc(adapters, func(a string) bool { return within(path, a) })
	if i < 0 {
		return ""
	}
	return adapters[i]
}

// impure are packages of the standard library that the core has no use for.
var impure = []string{
	"net", "os", "context", "math/rand", "crypto/rand", "log", "syscall", "database/sql", "io/fs", "io/ioutil", "testing", "sync", "runtime", "unsafe", "plugin", "embed",
}

// forbiddenImport says why a package may not import another one directly.
func forbiddenImport(path, imported string) string {
	switch {
	case within(path, core...) && within(imported, impure...):
		return "the core has no I/O, clock, randomness, goroutine or context"
	case within(path, core...) && strings.Contains(imported, "."):
		return "the core imports the standard library only"
	case within(imported, "github.com/gin-gonic/gin") && !within(path, "services/edge", "loadtest"):
		return "Gin lives in services/edge"
	case within(path, "services") && !within(path, "services/servicetest") &&
		slices.ContainsFunc(drivers, func(d string) bool { return strings.HasPrefix(imported, d) }):
		return "services speak to stores through the adapters"
	}
	return ""
}

// The rules themselves must be able to fail.
func TestArrowsForbid(t *testing.T) {
	for _, c := range []struct{ path, dep string }{
		{"pkg/sale", "pkg/stream"},
		{"pkg/wire", "pkg/pack"},
		{"pkg/stream", "pkg/ledger"},
		{"pkg/backends/backendstest", "pkg/ledger"},
		{"pkg/boot", "pkg/pack"},
		{"pkg/pack", "services/edge"},
		{"pkg/client", "services/edge"},
		{"pkg/client", "pkg/ledger"},
		{"pkg/client", "pkg/sale"},
		{"services/edge", "services/allocator"},
		{"services/edge/web", "services/notsale"},
		{"services/auditor", "services/archiver"},
		{"services/recorder", "loadtest/hammer/shopper"},
		{"services/servicetest", "services/edge"},
		{"services/edge", "services/servicetest"},
		{"pkg/ledger", "pkg/effort"},
	} {
		if forbidden(c.path, c.dep) == "" {
			t.Errorf("%s may import %s", c.path, c.dep)
		}
	}
	for _, c := range []struct{ path, dep string }{
		{"pkg/wire", "pkg/code"},
		{"pkg/stream", "pkg/wire"},
		{"pkg/backends/backendstest", "pkg/backends"},
		{"pkg/backends/backendstest", "pkg/effort"},
		{"services/archiver", "services/auditor"},
		{"services/edge", "services/edge/web"},
		{"services/edge", "pkg/pack"},
		{"services/notsale", "pkg/client"},
		{"services/notsale", "services/edge"},
		{"loadtest/hammer", "pkg/backends"},
	} {
		if why := forbidden(c.path, c.dep); why != "" {
			t.Errorf("%s may not import %s: %s", c.path, c.dep, why)
		}
	}
}

// parse parses the files of a package, without its tests.
func (p *goPackage) parse(t *testing.T, mode parser.Mode) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, mode)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	return files
}

func TestFxStandsInModulesOnly(t *testing.T) {
	seen := 0
	for _, p := range listPackages(t) {
		for name, file := range p.parse(t, parser.ImportsOnly) {
			for _, spec := range file.Imports {
				if path := strings.Trim(spec.Path.Value, `"`); path != "go.uber.org/fx" && !strings.HasPrefix(path, "go.uber.org/fx/") {
					continue
				}
				seen++
				if name != "module.go" && !within(p.path(), "pkg/boot", "services/notsale") {
					t.Errorf("%s/%s imports fx: it stands in module.go, pkg/boot and services/notsale", p.path(), name)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("nothing imports fx")
	}
}

// clocks are the functions of package time that read a clock or wait.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func TestCoreIsPure(t *testing.T) {
	for _, p := range listPackages(t) {
		if !within(p.path(), core...) {
			continue
		}
		for name, file := range p.parse(t, 0) {
			for _, impurity := range impurities(file) {
				t.Errorf("%s/%s: %s", p.path(), name, impurity)
			}
		}
	}
}

// impurities are what the core must not do.
func impurities(file *ast.File) (found []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "a goroutine")
		case *ast.ChanType, *ast.SelectStmt:
			found = append(found, "a channel")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
				found = append(found, "time."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}

// Of a service whose logic is given its host, and its servers as ports, all files
// but the shell are that logic: the simulator runs it as it is.
var (
	hosted = []string{"services/allocator", "services/edge/shop", "services/recorder", "services/scheduler"}
	shells = []string{"shell.go", "module.go"}
	// machinery is what a shell has, and logic has not.
	machinery = []string{
		"context.AfterFunc", "context.WithCancel", "context.WithCancelCause", "context.WithDeadline", "context.WithTimeout", "context.WithTimeoutCause",
		"ledger.Ledger", "stream.Client", "stream.Reader", "rejection.Cache",
	}
	// waiting are the methods of a host that wait.
	waiting = []string{"Wait", "Take"}
)

func TestLogicIsHosted(t *testing.T) {
	seen := 0
	for _, p := range listPackages(t) {
		if !slices.Contains(hosted, p.path()) {
			continue
		}
		files := p.parse(t, 0)
		ports := slices.Concat(waiting, portsOf(files["ports.go"]))
		for name, file := range files {
			if slices.Contains(shells, name) {
				continue
			}
			seen++
			for _, what := range slices.Concat(impurities(file), used(file, machinery), calledUnderLock(file, ports)) {
				t.Errorf("%s/%s: %s", p.path(), name, what)
			}
		}
	}
	if seen < len(hosted) {
		t.Errorf("%d files are logic", seen)
	}
}

// portsOf are the methods of the interfaces of a file that are given a context.
func portsOf(file *ast.File) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if i, ok := n.(*ast.InterfaceType); ok {
			for _, method := range i.Methods.List {
				if f, ok := method.Type.(*ast.FuncType); ok && len(f.Params.List) > 0 && len(method.Names) == 1 {
					if x, ok := f.Params.List[0].Type.(*ast.SelectorExpr); ok && x.Sel.Name == "Context" {
						names = append(names, method.Names[0].Name)
					}
				}
			}
		}
		return true
	})
	return names
}

// used are those of these names, each of a package, that a file speaks of.
func used(file *ast.File, names []string) (found []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(names, x.Name+"."+sel.Sel.Name) {
				found = append(found, x.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return found
}

// calledUnderLock are those of these methods that a function calls between a Lock
// and the next Unlock, or the function's end.
func calledUnderLock(file *ast.File, names []string) (found []string) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		locked, deferred := false, map[*ast.CallExpr]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.DeferStmt:
				deferred[n.Call] = true
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				switch {
				case !ok:
				case sel.Sel.Name == "Lock" || sel.Sel.Name == "RLock":
					locked = true
				case (sel.Sel.Name == "Unlock" || sel.Sel.Name == "RUnlock") && !deferred[n]:
					locked = false
				case locked && len(n.Args) > 0 && slices.Contains(names, sel.Sel.Name): // others are of other types
					found = append(found, sel.Sel.Name+" under a lock")
				}
			}
			return true
		})
	}
	return found
}

func TestImpuritiesAreFound(t *testing.T) {
	const text = `package p
import "time"
func f() { go f(); _ = time.Now(); select {} }`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := impurities(file); !slices.Equal(got, []string{"a goroutine", "time.Now", "a channel"}) {
		t.Errorf("found %v", got)
	}
	const hosted = `package p
type Ports interface { Commit(context.Context) error }
func f(l *ledger.Ledger) { mu.Lock(); e.Commit(); p.Commit(ctx); mu.Unlock(); p.Commit(ctx) }
func g() { mu.Lock(); defer mu.Unlock(); if true { h.Wait(ctx, 1) } }
func h() { context.WithTimeout(ctx, 1); p.Commit(ctx) }`
	if file, err = parser.ParseFile(token.NewFileSet(), "p.go", hosted, 0); err != nil {
		t.Fatal(err)
	}
	got := slices.Concat(used(file, machinery), calledUnderLock(file, append(portsOf(file), waiting...)))
	if !slices.Equal(got, []string{"ledger.Ledger", "context.WithTimeout", "Commit under a lock", "Wait under a lock"}) {
		t.Errorf("found %v", got)
	}
}
