package boot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"notsale/pkg/boot"
)

// environment is a lookup in a map.
func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, found := variables[name]
		return value, found
	}
}

func TestEnvName(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"listen": "NOTSALE_LISTEN", "sale-every": "NOTSALE_SALE_EVERY", "a-b-c": "NOTSALE_A_B_C", "k6": "NOTSALE_K6",
	} {
		if got := boot.EnvName(flag); got != want {
			t.Errorf("%s: %s, want %s", flag, got, want)
		}
	}
}

// The command line wins over the environment, which wins over the default.
func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		arguments []string
		variables map[string]string
		want      time.Duration
		wrong     string
	}{
		{"nothing is said", nil, nil, time.Hour, ""},
		{"a variable", nil, map[string]string{"NOTSALE_SALE_EVERY": "5m"}, 5 * time.Minute, ""},
		{"a flag", []string{"--sale-every=1m"}, nil, time.Minute, ""},
		{"both", []string{"--sale-every=1m"}, map[string]string{"NOTSALE_SALE_EVERY": "5m"}, time.Minute, ""},
		{"the flag says the default", []string{"--sale-every=1h"}, map[string]string{"NOTSALE_SALE_EVERY": "5m"}, time.Hour, ""},
		{"a variable of another flag", nil, map[string]string{"NOTSALE_SALE_STOCK": "5", "SALE_EVERY": "5m"}, time.Hour, ""},
		{"a variable that is no duration", nil, map[string]string{"NOTSALE_SALE_EVERY": "often"}, 0, `NOTSALE_SALE_EVERY="often"`},
		{"an empty variable", nil, map[string]string{"NOTSALE_SALE_EVERY": ""}, 0, `NOTSALE_SALE_EVERY=""`},
		{"a wrong variable behind a flag", []string{"--sale-every=1m"}, map[string]string{"NOTSALE_SALE_EVERY": "often"}, time.Minute, ""},
	} {
		flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
		every := flags.Duration("sale-every", time.Hour, "")
		if err := flags.Parse(c.arguments); err != nil {
			t.Fatal(err)
		}
		err := boot.FromEnvironment(flags, environment(c.variables))
		if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.wrong)
		}
		if err == nil && *every != c.want {
			t.Errorf("%s: %v, want %v", c.name, *every, c.want)
		}
	}
}

// Whoever has made two mistakes hears of both.
func TestFromEnvironmentNamesEveryMistake(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.Int("stock", 1, "")
	flags.Bool("demo", false, "")
	fine := flags.Int("limit", 1, "")
	err := boot.FromEnvironment(flags, environment(map[string]string{"NOTSALE_STOCK": "many", "NOTSALE_DEMO": "perhaps", "NOTSALE_LIMIT": "3"}))
	for _, name := range []string{"NOTSALE_STOCK", "NOTSALE_DEMO"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
	if *fine != 3 {
		t.Errorf("the right one is %d, want 3", *fine)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, empty, missing := filepath.Join(dir, "url"), filepath.Join(dir, "empty"), filepath.Join(dir, "missing")
	for path, text := range map[string]string{file: "postgres://from-file\n", empty: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name      string
		variables map[string]string
		want      string
		wrong     string
	}{
		{"neither", nil, "", ""},
		{"direct", map[string]string{"DATABASE_URL": "postgres://direct"}, "postgres://direct", ""},
		{"by file, without the line's end", map[string]string{"DATABASE_URL_FILE": file}, "postgres://from-file", ""},
		{"both", map[string]string{"DATABASE_URL": "postgres://direct", "DATABASE_URL_FILE": file}, "", "DATABASE_URL_FILE are both set"},
		{"both, the direct one empty", map[string]string{"DATABASE_URL": "", "DATABASE_URL_FILE": file}, "postgres://from-file", ""},
		{"both, the file's name empty", map[string]string{"DATABASE_URL": "postgres://direct", "DATABASE_URL_FILE": ""}, "postgres://direct", ""},
		{"both empty", map[string]string{"DATABASE_URL": "", "DATABASE_URL_FILE": ""}, "", ""},
		{"an empty file", map[string]string{"DATABASE_URL_FILE": empty}, "", "DATABASE_URL_FILE: there is nothing in"},
		{"a file that is not there", map[string]string{"DATABASE_URL_FILE": missing}, "", "DATABASE_URL_FILE"},
		{"a folder", map[string]string{"DATABASE_URL_FILE": dir}, "", "DATABASE_URL_FILE"},
		{"the URL where its file should be named", map[string]string{"DATABASE_URL_FILE": "postgres://u:p@h"}, "", "must name a file"},
		{"another's", map[string]string{"REDIS_URL": "redis://"}, "", ""},
	} {
		got, err := boot.Secret("DATABASE_URL", environment(c.variables))
		if got != c.want || (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %q, %v, want %q, %q", c.name, got, err, c.want, c.wrong)
		}
		if err != nil && strings.Contains(err.Error(), "postgres://") {
			t.Errorf("%s: the error tells the secret: %v", c.name, err)
		}
	}
}
