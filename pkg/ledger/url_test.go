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
