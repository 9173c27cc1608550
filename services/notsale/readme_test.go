package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	whereHeading = "## Where is"
	whereRows    = 15 // at least
)

// where is a row of the README's table.
type where struct{ behaviour, file, symbol string }

// whereIs reads the table under the heading.
func whereIs(text string) []where {
	_, rest, found := strings.Cut("\n"+text, "\n"+whereHeading)
	if !found {
		return nil
	}
	var rows []where
	for i, line := range strings.Split(rest, "\n") {
		line = strings.TrimSpace(line)
		if i > 0 && strings.HasPrefix(line, "#") || len(rows) > 0 && line == "" {
			break // the next heading, or the table's end
		}
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		cells = append(cells, "", "", "")
		rows = append(rows, where{cells[0], cells[1], cells[2]})
	}
	if len(rows) < 2 {
		return nil
	}
	return rows[2:] // the head and the line under it
}

func TestReadmeSaysWhere(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := whereIs(string(text))
	if len(rows) < whereRows {
		t.Fatalf("README.md has %d rows in the table under %q, want at least %d: | behaviour | file | symbol |", len(rows), whereHeading, whereRows)
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if r.behaviour == "" || seen[r.behaviour] {
			t.Errorf("a row without a behaviour of its own: %+v", r)
		}
		seen[r.behaviour] = true
		if err := r.exists("../.."); err != nil {
			t.Errorf("%s: %v", r.behaviour, err)
		}
	}
}

// exists looks for the file and for the symbol in it.
func (r where) exists(root string) error {
	path := filepath.Join(root, filepath.FromSlash(r.file))
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return fmt.Errorf("there is no file %s", r.file)
	}
	if r.symbol == "" {
		return nil
	}
	if filepath.Ext(r.file) != ".go" {
		return fmt.Errorf("%s is no Go file and can have no symbol %s", r.file, r.symbol)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return err
	}
	if !symbols(file)[r.symbol] {
		return fmt.Errorf("%s has no %s", r.file, r.symbol)
	}
	return nil
}

// symbols are the top-level names of a file: functions, types, variables,
// constants, and methods as Type.Method.
func symbols(file *ast.File) map[string]bool {
	names := map[string]bool{}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			names[name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names[spec.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names[name.Name] = true
					}
				}
			}
		}
	}
	return names
}

// receiver is the name of a method's type, without star and type parameters.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func TestWhereIsReadsTheTable(t *testing.T) {
	rows := whereIs("# x\n\n## Where is …\n\ntext\n\n| a | f | s |\n|---|---|---|\n| one | `readme_test.go` | `where.exists` |\n| two | `nowhere.go` | |\n| three | `readme_test.go` | `nothing` |\n\n| other | x | y |\n\n## Next\n| z | z | z |\n")
	if len(rows) != 3 {
		t.Fatalf("rows %+v", rows)
	}
	for i, want := range []string{"", "there is no file nowhere.go", "readme_test.go has no nothing"} {
		got := ""
		if err := rows[i].exists("."); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", rows[i], got, want)
		}
	}
	if rows := whereIs("# x\n| a | b | c |\n|---|---|---|\n| d | e | f |\n"); rows != nil {
		t.Errorf("rows without the heading: %+v", rows)
	}
}
