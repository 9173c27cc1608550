//go:build unix

package deployments

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/telemetry"
	"notsale/pkg/wire"
	"notsale/services/recorder"
)

// streamsAs connects to NATS, at addresses joined by commas, as a service.
func streamsAs(t *testing.T, addr, secrets, role string, changes ...func(*stream.Config)) *stream.Client {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(secrets, role, "nats_url"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.DefaultConfig()
	login, _, _ := strings.Cut(string(text), "@")
	cfg.URL, cfg.Name, cfg.Role = login+"@"+strings.ReplaceAll(addr, ",", ","+login+"@"), role, role
	cfg.SaleBytes, cfg.AttemptBytes = 1<<20, 1<<20
	for _, change := range changes {
		change(&cfg)
	}
	c, err := stream.Connect(t.Context(), cfg, quiet(t))
	if err != nil {
		t.Fatalf("%s: %v", role, err)
	}
	t.Cleanup(c.Close)
	return c
}

func quiet(t *testing.T) *slog.Logger {
	t.Helper()
	log, err := telemetry.NewLogger(os.Stderr, telemetry.LogConfig{Format: "text", Level: "error"})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// booksAs opens the ledger as a service.
func (d database) booksAs(t *testing.T, role string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Config{URL: d.as(t, role), Name: role, Conns: ledger.DefaultConns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// A recorder may record, and a scheduler remove what is old, by what each may do.
func TestIdentitiesAreEnoughForAttempts(t *testing.T) {
	addr, secrets := natsServer(t)
	d := newDatabase(t, secrets)
	tape, books := streamsAs(t, addr, secrets, "scheduler"), d.booksAs(t, "scheduler")
	if err := tape.CreateUnsold(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := tape.MakeDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	edge := streamsAs(t, addr, secrets, "edge")
	keep := func() {
		t.Helper()
		a := wire.Attempt{ID: sale.UUID{1}, Outcome: wire.UnknownItem}
		if err := edge.PublishAttempts(t.Context(), 0, wire.AppendAttempts(nil, "edge-1", []wire.Attempt{a})); err != nil {
			t.Fatal(err)
		}
	}
	keep()
	owner, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Close(context.Background()) }()
	if _, err := owner.Exec(t.Context(), `INSERT INTO recorded (sale_id, sequence) VALUES (0, 0)`); err != nil {
		t.Fatal(err)
	}
	r, err := recorder.New(recorder.DefaultConfig(), d.booksAs(t, "recorder"), streamsAs(t, addr, secrets, "recorder"), quiet(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var left int
		err := owner.QueryRow(t.Context(), `SELECT count(*) FROM recorded`).Scan(&left)
		if at, errAt := books.AttemptCursor(t.Context(), wire.AttemptStream{}); err == nil && errAt == nil && at.Sequence == 1 && left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was recorded, or an old mark is left")
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := tape.CreateUnsold(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := tape.CloseUnsold(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	keep() // in part 1
	state, err := tape.UnsoldPart(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if may, err := books.RemoveUnsold(t.Context(), 0, state.Last, state.Created, state.Now, 0); err != nil || !may {
		t.Fatal(may, err)
	}
	if err := tape.RemoveUnsold(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if parts, err := edge.UnsoldParts(t.Context()); err != nil || len(parts) != 1 || parts[0] != 1 {
		t.Errorf("parts %v, %v", parts, err)
	}
}
