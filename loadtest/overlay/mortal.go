package overlay

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
)

// CrashAt is the variable that says where a mortal process dies: role/before-call,
// or role/after-call, and :n for the n-th time. A call is a method of a port, its
// words joined by hyphens.
const CrashAt = "NOTSALE_CRASH_AT"

// Mortal lets processes of a role die, by SIGKILL, before or after a call to a port.
// The folder of the role's logic has the ports in ports.go, and in shell.go the literal
// of the real ones.
func (o *Overlay) Mortal(role, folder string) error {
	ports, err := o.Read(path.Join(folder, "ports.go"))
	if err != nil {
		return err
	}
	streams, err := o.Read("pkg/follow/follow.go")
	if err != nil {
		return err
	}
	text, err := wrappers(role, ports, streams)
	if err != nil {
		return err
	}
	if err := o.Write(path.Join(folder, "mortal.go"), text); err != nil {
		return err
	}
	shell, err := o.Read(path.Join(folder, "shell.go"))
	if err != nil {
		return err
	}
	if shell, err = wrapped(shell); err != nil {
		return err
	}
	return o.Write(path.Join(folder, "shell.go"), shell)
}

// wrapped returns a file in which the literal of type Ports is passed to mortal.
func wrapped(text []byte) ([]byte, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", text, 0)
	if err != nil {
		return nil, err
	}
	var found []byte
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.CompositeLit); ok {
			if kind, ok := literal.Type.(*ast.Ident); ok && kind.Name == "Ports" {
				from, to := files.Position(literal.Pos()).Offset, files.Position(literal.End()).Offset
				found = fmt.Appendf(nil, "%smortal(%s)%s", text[:from], text[from:to], text[to:])
			}
		}
		return true
	})
	if found == nil {
		return nil, fmt.Errorf("no literal of type Ports in\n%s", text)
	}
	return found, nil
}

// wrappers returns the file with mortal, which wraps ports so that the process may
// die at each call.
func wrappers(role string, ports, streams []byte) ([]byte, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "ports.go", ports, 0)
	if err != nil {
		return nil, err
	}
	follow, err := parser.ParseFile(files, "follow.go", streams, 0)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fields := map[string]*ast.StructType{}
	kinds := map[string]*ast.InterfaceType{}
	all := types(file)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch kind := all[name].(type) {
		case *ast.InterfaceType:
			kinds[name] = kind
			wrapper(&b, files, role, name, name, all)
		case *ast.StructType:
			fields[name] = kind
		}
	}
	if bytes.Contains(ports, []byte("follow.Stream\n")) {
		var of bytes.Buffer
		wrapper(&of, files, role, "Stream", "follow.Stream", types(follow))
		b.WriteString(strings.ReplaceAll(of.String(), "(Reader,", "(follow.Reader,"))
	}
	fmt.Fprint(&b, "func mortal(p Ports) Ports {\n")
	for _, field := range fields["Ports"].Fields.List {
		if kind, ok := field.Type.(*ast.Ident); ok && kinds[kind.Name] != nil {
			for _, name := range field.Names {
				fmt.Fprintf(&b, "p.%s = mortal%s{p.%s}\n", name, kind, name)
			}
		}
	}
	fmt.Fprintf(&b, "return p\n}\n"+dying, CrashAt)
	var head bytes.Buffer
	fmt.Fprintf(&head, "package %s\n\nimport (\n\"os\"\n\"strconv\"\n\"strings\"\n\"sync/atomic\"\n", file.Name)
	used := map[string]bool{}
	for _, spec := range append(file.Imports, follow.Imports...) {
		if name := path.Base(strings.Trim(spec.Path.Value, `"`)); !used[name] && bytes.Contains(b.Bytes(), []byte(name+".")) {
			used[name] = true
			fmt.Fprintln(&head, spec.Path.Value)
		}
	}
	fmt.Fprintln(&head, ")")
	return format.Source(append(head.Bytes(), b.Bytes()...))
}

// dying is the code with which a process dies.
const dying = `
var crashPoint, crashTimes, _ = strings.Cut(os.Getenv(%q), ":")
var crashReached atomic.Int64
func dieAt(point string) {
	if n, err := strconv.ParseInt(crashTimes, 10, 64); point != crashPoint || crashReached.Add(1) < n || err != nil && crashTimes != "" {
		return
	}
	self, _ := os.FindProcess(os.Getpid())
	_ = self.Kill()
	select {} // whoever is here does nothing more
}
`

// types are the types that a file declares.
func types(file *ast.File) map[string]ast.Expr {
	found := map[string]ast.Expr{}
	ast.Inspect(file, func(n ast.Node) bool {
		if t, ok := n.(*ast.TypeSpec); ok {
			found[t.Name.Name] = t.Type
		}
		return true
	})
	return found
}

// wrapper writes a type that implements an interface of this name, and may die.
func wrapper(b *bytes.Buffer, files *token.FileSet, role, name, kind string, all map[string]ast.Expr) {
	fmt.Fprintf(b, "type mortal%s struct{ port %s }\n", name, kind)
	methods(b, files, role, name, all[name], all)
}

// methods writes those of an interface, and of what is embedded in it.
func methods(b *bytes.Buffer, files *token.FileSet, role, name string, kind ast.Expr, all map[string]ast.Expr) {
	for _, method := range kind.(*ast.InterfaceType).Methods.List { //nolint:forcetypeassert // only interfaces are embedded
		f, ok := method.Type.(*ast.FuncType)
		if !ok {
			methods(b, files, role, name, all[text(files, method.Type)], all)
			continue
		}
		var arguments []string
		for i, parameter := range f.Params.List {
			if len(parameter.Names) == 0 {
				parameter.Names = []*ast.Ident{ast.NewIdent(fmt.Sprintf("a%d", i))}
			}
			for _, n := range parameter.Names {
				arguments = append(arguments, n.Name)
			}
		}
		call := fmt.Sprintf("p.port.%s(%s)", method.Names[0], strings.Join(arguments, ", "))
		if f.Results != nil {
			call = "return " + call
			switch signature := text(files, f); {
			case strings.HasSuffix(signature, ") follow.Stream"):
				call = "return mortalStream{" + strings.TrimPrefix(call, "return ") + "}"
			case strings.HasSuffix(signature, ") (Directory, error)"):
				call = strings.Replace(call, "return", "d, err :=", 1) + "\nreturn mortalDirectory{d}, err"
			}
		}
		point := hyphened(method.Names[0].Name)
		fmt.Fprintf(b, "func (p mortal%s) %s%s {\ndieAt(%q)\ndefer dieAt(%q)\n%s\n}\n", name, method.Names[0], strings.TrimPrefix(text(files, f), "func"),
			role+"/before-"+point, role+"/after-"+point, call)
	}
}

func text(files *token.FileSet, node ast.Node) string {
	var b bytes.Buffer
	_ = printer.Fprint(&b, files, node)
	return b.String()
}

// hyphened is a name in lower case, with a hyphen before each further word.
func hyphened(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && !unicode.IsUpper(rune(name[i-1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
