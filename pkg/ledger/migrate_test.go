package ledger_test

import (
	"net/url"
	"strings"
	"sync"
	"testing"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/ledger"
)

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	test := backendstest.New(t)
	first, err := ledger.Migrate(t.Context(), test.DatabaseURL)
	if err != nil || first == 0 {
		t.Fatalf("first: %d steps, %v", first, err)
	}
	second, err := ledger.Migrate(t.Context(), test.DatabaseURL)
	if err != nil || second != 0 {
		t.Errorf("second: %d steps, %v, want none", second, err)
	}
}

func TestMigrateFourAtOnce(t *testing.T) {
	t.Parallel()
	test := backendstest.New(t)
	steps, errs := make([]int, 4), make([]error, 4)
	var wg sync.WaitGroup
	for i := range steps {
		wg.Go(func() { steps[i], errs[i] = ledger.Migrate(t.Context(), test.DatabaseURL) })
	}
	wg.Wait()
	busy := 0
	for i := range steps {
		if errs[i] != nil {
			t.Errorf("process %d: %v", i, errs[i])
		}
		if steps[i] > 0 {
			busy++
		}
	}
	if busy != 1 {
		t.Errorf("%d of four processes took steps (%v), want one", busy, steps)
	}
}

// An installation gets its id with the schema and keeps it.
func TestInstallation(t *testing.T) {
	t.Parallel()
	test := backendstest.New(t)
	l, err := ledger.Open(t.Context(), ledger.Config{URL: test.DatabaseURL, Name: "fresh"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if _, err := l.Installation(t.Context()); err == nil || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("before the migration: %v, want a hint at it", err)
	}
	for range 2 {
		if _, err := ledger.Migrate(t.Context(), test.DatabaseURL); err != nil {
			t.Fatal(err)
		}
	}
	first, err := l.Installation(t.Context())
	if err != nil || first.IsZero() {
		t.Fatalf("installation %v, %v", first, err)
	}
	again, err := l.Installation(t.Context())
	if err != nil || again != first {
		t.Errorf("installation %v then %v, %v", first, again, err)
	}
}

func TestOpenRefusesWhatIsNoURL(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"http://localhost/db", "postgres://localhost:notaport/db"} {
		if l, err := ledger.Open(t.Context(), ledger.Config{URL: u, Name: "lost"}); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
			t.Errorf("%s: %v, want an error that names the setting", u, err)
			if err == nil {
				l.Close()
			}
		}
	}
	if _, err := ledger.Migrate(t.Context(), "postgres://localhost:notaport/db"); err == nil {
		t.Error("a URL without a port was migrated")
	}
}

// A server that would lose acknowledged sales with the power is refused,
// unless it says that it is a test's.
func TestRefusesVolatileServers(t *testing.T) {
	t.Parallel()
	volatile, durable := backendstest.New(t), backendstest.New(t, backendstest.Durable)
	for _, c := range []struct {
		name, database, allow string
		refused               bool
	}{
		{"a test's server", volatile.DatabaseURL, "", false},
		{"a server without fsync", volatile.DatabaseURL, "off", true},
		{"a server with fsync", durable.DatabaseURL, "off", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := c.database
			if c.allow != "" {
				address = withParameter(t, address, ledger.AllowVolatile, c.allow)
			}
			l, err := ledger.Open(t.Context(), ledger.Config{URL: address, Name: "volatile"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			err = l.Ping(t.Context())
			if (err != nil) != c.refused {
				t.Fatalf("error %v, want one: %v", err, c.refused)
			}
			if c.refused && !strings.Contains(err.Error(), "fsync") {
				t.Errorf("the error does not name the setting: %v", err)
			}
		})
	}
}

// withParameter sets a parameter of the server for all sessions of the URL.
func withParameter(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}
