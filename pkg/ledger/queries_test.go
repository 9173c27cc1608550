package ledger

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParametersGetNumbers(t *testing.T) {
	t.Parallel()
	q := numbered("-- of @sale\nSELECT @most::int WHERE a = @sale AND b > @most")
	if q.sql != "-- of $1\nSELECT $2::int WHERE a = $1 AND b > $2" || !slices.Equal(q.names, []string{"sale", "most"}) {
		t.Errorf("%q with %q", q.sql, q.names)
	}
}

// A parameter that is misspelt, forgotten or too many is an error, not null.
func TestParametersAreAllGiven(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]params{
		"sold_items":  {"first": 1, "lust": 2},
		"audit_holes": {"sale": 1, "more": 2},
		"cursor":      {"sale": 1},
		"no such":     nil,
	} {
		if sql, args, err := p.RewriteQuery(t.Context(), nil, name, nil); err == nil {
			t.Errorf("%s: %s with %v", name, sql, args)
		}
	}
	sql, args, err := params{"last": 2, "first": 1}.RewriteQuery(t.Context(), nil, "sold_items", nil)
	if err != nil || !slices.Equal(args, []any{1, 2}) || strings.Contains(sql, "@") {
		t.Errorf("%s with %v, %v", sql, args, err)
	}
}

func TestEveryQueryIsUsed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") {
			source.Write(text)
		}
	}
	for name := range maps.Keys(queries) {
		if !strings.Contains(source.String(), `"`+name+`"`) {
			t.Errorf("nothing runs %s", name)
		}
	}
}
