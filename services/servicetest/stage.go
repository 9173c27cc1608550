//go:build unix

package servicetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Patience is how long Eventually waits.
const Patience = effort.Patience

const (
	pollPause = 10 * time.Millisecond
	setupTime = 60 * time.Second
	stopTime  = effort.Patience
	// ledgerConns is what each service of a test may open; tests share one
	// server of 400 connections.
	ledgerConns = 4
)

// Stage is the stores of one test, and connections to them.
type Stage struct {
	*backendstest.Test

	DB  *pgxpool.Pool // looks into the tables, past the ledger
	Log *slog.Logger  // to the test's log

	// SaleBytes is what the streams of sales opened from now on may hold; 0 is
	// the default.
	SaleBytes int64

	t testing.TB
}

// New sets the stage: stores of the test's own, with the schema.
func New(t testing.TB, opts ...backendstest.Option) *Stage {
	t.Helper()
	s := &Stage{Test: backendstest.New(t, append(opts, backendstest.Prepared(ledger.Migrate))...), t: t, Log: Logger(t)}
	s.RedisURL = PatientRedis(s.Test)
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	pool, err := pgxpool.New(ctx, s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.DB = pool
	if _, err := pool.Exec(ctx, `UPDATE installation SET id = gen_random_uuid()`); err != nil { // no test is another's
		t.Fatal(err)
	}
	if _, err := s.Stream("stage").MakeDirectory(ctx); err != nil { // as a scheduler does
		t.Fatal(err)
	}
	return s
}

// PatientRedis is a REDIS_URL with which services wait for a hint that a busy
// machine is late with, for tests that want to see what the cache says.
func PatientRedis(stores *backendstest.Test) string { return stores.RedisURL + "?read_timeout=30s" }

// Ledger opens a ledger for a service of this name.
func (s *Stage) Ledger(name string) *ledger.Ledger {
	s.t.Helper()
	l, err := ledger.Open(context.Background(), ledger.Config{URL: s.DatabaseURL, Name: name, Conns: ledgerConns})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(l.Close)
	// The first connection takes seconds on a machine that is busy enough.
	Eventually(s.t, "the ledger answers", func() bool { return l.Ping(context.Background()) == nil })
	return l
}

// Stream connects a service of this name to NATS.
func (s *Stage) Stream(name string) *stream.Client {
	s.t.Helper()
	cfg := stream.DefaultConfig()
	cfg.URL, cfg.Name = s.NATSURL, name
	if s.SaleBytes > 0 {
		cfg.SaleBytes = s.SaleBytes
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	c, err := stream.Connect(ctx, cfg, s.Log)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// Cache connects a service of this name to Redis.
func (s *Stage) Cache(name string) *rejection.Cache {
	s.t.Helper()
	c, err := rejection.Open(rejection.Config{URL: s.RedisURL, Name: name}, s.Log)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// OpenSale opens a sale as a scheduler does. Its slot is the millisecond, so a
// test may open several.
func (s *Stage) OpenSale(stock, userLimit int) sale.Sale {
	s.t.Helper()
	return s.OpenUnder(sale.RulesVersion, stock, userLimit)
}

// OpenUnder opens a sale as a scheduler did at the time of these rules.
func (s *Stage) OpenUnder(rules, stock, userLimit int) sale.Sale {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	l, c := s.Ledger("stage"), s.Stream("stage")
	made, err := l.OpenSlot(ctx, ledger.Template{Every: time.Millisecond, Stock: stock, UserLimit: userLimit, Seed: 7})
	if err != nil || !made {
		s.t.Fatalf("slot made: %v, %v", made, err)
	}
	if _, err := s.DB.Exec(ctx, `UPDATE sales SET rules = $1 WHERE sale_id = (SELECT max(sale_id) FROM sales)`, rules); err != nil {
		s.t.Fatal(err)
	}
	rows, err := l.Sales(ctx, 0, 1)
	if err != nil || len(rows) != 1 {
		s.t.Fatalf("%d sales, %v", len(rows), err)
	}
	of := rows[0].Sale
	if err := Open(ctx, l, c, of); err != nil {
		s.t.Fatal(err)
	}
	return of
}

// Open opens a sale that has a row, as a scheduler does.
func Open(ctx context.Context, l *ledger.Ledger, c *stream.Client, of sale.Sale) error {
	opening, err := CreateSale(ctx, c, of)
	if err != nil {
		return err
	}
	return l.MarkOpen(ctx, of.ID, allocation.Genesis(opening.Message.Hash(), opening.Message.Time), opening.Created)
}

// CreateSale makes a sale's streams and its opening record, as a scheduler does.
func CreateSale(ctx context.Context, c *stream.Client, of sale.Sale) (stream.Opening, error) {
	err := errors.Join(c.CreateCheckouts(ctx, of.ID), c.CreatePurchases(ctx, of.ID))
	if err == nil {
		err = c.PublishOpening(ctx, of)
	}
	if err != nil {
		return stream.Opening{}, err
	}
	return c.OpeningOf(ctx, of)
}

// Count runs a query for one number.
func (s *Stage) Count(query string, args ...any) int64 {
	s.t.Helper()
	return Count(s.t, s.DB, query, args...)
}

// Count runs a query for one number.
func Count(t testing.TB, db *pgxpool.Pool, query string, args ...any) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var n int64
	if err := db.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Collect reads a stream, or part of one.
func Collect(t testing.TB, messages iter.Seq2[stream.Message, error]) (list []stream.Message) {
	t.Helper()
	for m, err := range messages {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

// Run runs a service's loop until stop is called, or the test ends. The test
// fails when the loop ends by itself, with an error, or not in time.
func (s *Stage) Run(loop func(context.Context) error) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := loop(ctx)
		if ctx.Err() == nil {
			err = errors.Join(errors.New("a loop ended by itself"), err)
		}
		ended <- err
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				s.t.Errorf("loop: %v", err)
			}
		case <-time.After(stopTime):
			s.t.Errorf("a loop did not stop within %v", stopTime)
		}
	}
	s.t.Cleanup(stop)
	return stop
}

// Eventually waits until the condition holds, and fails the test if it does
// not within Patience.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", Patience, what)
		}
		time.Sleep(pollPause)
	}
}

// Logger writes to the test's log, which go test shows when the test fails.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// User names a user of a test.
func User(n int) string { return fmt.Sprintf("user-%d", n) }
