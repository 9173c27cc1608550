package ledger_test

import (
	"strings"
	"testing"

	"notsale/pkg/ledger"
)

func TestCheckURLTellsNoPassword(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://u:S3cret@h/db?sslmode=disable":       "",
		"host=h user=u password=S3cret dbname=d":         "",
		"postgres://u:S3cret@h/db?sslmode=bogus":         "sslmode",
		"postgres://u:p@h/db?password=S3cret&sslmode=no": "sslmode",
		"postgres://u:S3cret@h/db?pool_max_conns=S3cret": "settings",
		"postgres://u:S3cret@h:nine/db":                  "connection string",
		"host=h password=S3cret S3cret port=x":           "quoted",
		"S3cret":                                         "keyword=value",
	} {
		err := ledger.CheckURL(text)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "S3cret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestServersAreAllThatItNames(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "",
		"postgres://u:S3cret@h/db":               "postgres://h:5432",
		"postgres://u:S3cret@h:1,i:2/db":         "postgres://h:1,i:2",
		"host=h port=6 user=u password='S3cret'": "postgres://h:6",
		"host=/run/postgresql user=u dbname=d":   "postgres:///run/postgresql/.s.PGSQL.5432",
		"postgres://u@[::1]:7/d?sslmode=disable": "postgres://[::1]:7",
	} {
		if got := ledger.Servers(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
