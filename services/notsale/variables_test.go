//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/backends/backendstest"
	"notsale/services/servicetest"
)

// foreignVariables are all that the driver reads, each of which says what no
// database is like, and a locale that there is not.
func foreignVariables(t *testing.T) []string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/jackc/pgx/v5").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pgconn", "config.go"))
	if err != nil {
		t.Fatal(err)
	}
	variables := []string{"LANG=xx_YY", "LC_ALL=xx_YY.UTF-8"}
	for _, found := range regexp.MustCompile(`"(PG[A-Z]+)":`).FindAllStringSubmatch(string(text), -1) {
		variables = append(variables, found[1]+"=no-such-thing")
	}
	if len(variables) < 20 {
		t.Fatalf("the driver reads only %v", variables)
	}
	return variables
}

// Variables that speak of another database reach none that the program has
// started itself: `up` sells beside all of them, and so does an audit work that
// finds its stores by the folder.
func TestForeignVariablesReachNoStoreOfOurs(t *testing.T) {
	t.Parallel()
	foreign := foreignVariables(t)
	p := runUpWith(t, foreign)
	of := p.FirstSale(t)
	if a := p.Purchase(t, p.Checkout(t, "ann", of.FirstItem).Code); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	said, complained, err := runProgram(t, foreign, "audit", "--sale", "1", "--data", filepath.Join(p.data, "stores"))
	if err != nil {
		t.Errorf("an audit: %v: %s%s", err, said, complained)
	}
}

// A password among keyword=value may look like a URL.
func TestAKeywordsValueIsNoURL(t *testing.T) {
	t.Setenv("DATABASE_URL", "host=h user=u password='a://b' dbname=d")
	s := newSettings()
	if err := s.readURLs(); err != nil {
		t.Error(err)
	}
}

// A database is given as keyword=value to whoever takes a URL.
func TestKeywordsSayWhereADatabaseIs(t *testing.T) {
	t.Parallel()
	stores := backendstest.New(t)
	u, err := url.Parse(stores.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	cc, err := pgx.ParseConfig(stores.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	keywords := fmt.Sprintf("host=%s port=%s user=%s password='%s' dbname=%s sslmode=disable", u.Hostname(), u.Port(), cc.User, cc.Password, cc.Database)
	variables := []string{"DATABASE_URL=" + keywords, "NATS_URL=" + stores.NATSURL, "REDIS_URL=" + stores.RedisURL}
	data, err := os.MkdirTemp(t.TempDir(), "data-*")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, data: data, env: variables}
	p.start("127.0.0.1:0")
	defer p.kill()
	of := p.FirstSale(t)
	if a := p.Purchase(t, p.Checkout(t, "ann", of.FirstItem).Code); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if text := p.output.String(); !strings.Contains(text, u.Host+" (external)") || strings.Contains(text, cc.Password) {
		t.Errorf("it says of the database:\n%s", text)
	}
	servicetest.Eventually(t, "an audit is clean", func() bool {
		_, _, err := runProgram(t, variables, "audit", "--sale", "1")
		return err == nil
	})
}
