//go:build unix

package backendstest

import (
	"cmp"
	"context"
	"testing"

	"notsale/pkg/backends"
)

// Test is what one test has to itself, until it ends.
type Test struct {
	DatabaseURL string // of an empty database; the user may do everything
	RedisURL    string // of an empty key space
	NATSURL     string // of a server with JetStream and no streams

	// NATS is the test's own server. Postgres and Redis are set only with
	// WithOwnPostgres and WithOwnRedis, to be killed, paused and restarted; all
	// are stopped when the test ends, also when they were killed.
	NATS     *backends.NATS
	Postgres *backends.Postgres
	Redis    *backends.Redis

	t testing.TB
}

// Option changes what New gives.
type Option func(*options)

type options struct {
	durable, ownPostgres, ownRedis bool

	pgBin   string // of Config, for a Postgres of the test's own
	prepare Preparation
}

// Preparation brings a database, given by its URL, to the state that a test
// begins with. It leaves no session behind.
type Preparation func(ctx context.Context, url string) (steps int, err error)

// Prepared gives a database that was prepared: once for all tests of the process that
// share a server, which get copies. All must name the same preparation, and what
// it draws at random is the same in all copies.
func Prepared(prepare Preparation) Option { return func(o *options) { o.prepare = prepare } }

// Durable gives a Postgres with fsync and a NATS with SyncAlways, as in `up`.
func Durable(o *options) { o.durable = true }

// WithOwnPostgres gives the test a Postgres server of its own in
// Test.Postgres.
func WithOwnPostgres(o *options) { o.ownPostgres = true }

// WithOwnRedis gives the test a Redis server of its own in Test.Redis.
func WithOwnRedis(o *options) { o.ownRedis = true }

// New gives the test its own database, NATS server and Redis key space. It fails
// the test when a server does not start. Everything is gone when the test ends;
// clients should be closed before, with t.Cleanup after New.
func New(t testing.TB, opts ...Option) *Test {
	t.Helper()
	var o options
	for _, set := range opts {
		set(&o)
	}
	if realRequired() {
		RequireReal(t, "redis-server", backends.FindRedis() != "")
	}
	test := &Test{t: t}
	test.takePostgres(o)
	test.takeRedis(o)
	test.takeNATS(o)
	return test
}

func (test *Test) takePostgres(o options) {
	t := test.t
	t.Helper()
	if o.ownPostgres {
		cfg := ownConfig(t, !o.durable)
		cfg.PGBin = cmp.Or(o.pgBin, cfg.PGBin)
		test.Postgres = own(t, cfg, startSeeded)
		test.DatabaseURL = test.Postgres.URL()
		if o.prepare == nil {
			return
		}
		if err := prepare(o.prepare, test.DatabaseURL); err != nil {
			t.Fatalf("test database: %v", err)
		}
		return
	}
	p, err := process.postgres(o.durable)
	if err != nil {
		t.Fatalf("test Postgres: %v", err)
	}
	model := emptyModel
	if o.prepare != nil {
		model = preparedModel
		if err := process.prepareOnce(p, o.prepare); err != nil {
			t.Fatalf("test database: %v", err)
		}
	}
	test.DatabaseURL = newDatabase(t, p, model)
}

func (test *Test) takeRedis(o options) {
	t := test.t
	t.Helper()
	if o.ownRedis {
		test.Redis = own(t, ownConfig(t, true), backends.StartRedis)
		test.RedisURL = test.Redis.URL()
		return
	}
	pool, err := process.redis()
	if err != nil {
		t.Fatalf("test Redis: %v", err)
	}
	test.RedisURL = pool.take(t)
}

func (test *Test) takeNATS(o options) {
	test.t.Helper()
	cfg := ownConfig(test.t, !o.durable)
	cfg.StreamStore = testStreamStore
	test.NATS = own(test.t, cfg, backends.StartNATS)
	test.NATSURL = test.NATS.URL()
}

// testStreamStore is what streams may reserve in one test, in bytes. Nothing is
// allocated; by itself each server would take most of the free disk for its own.
const testStreamStore = 16 << 30

// StopNATS stops the test's NATS server.
func (test *Test) StopNATS() {
	test.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if err := test.NATS.Stop(ctx); err != nil {
		test.t.Fatal(err)
	}
}

// StartNATS starts it again on the same port and store.
func (test *Test) StartNATS() {
	test.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := test.NATS.Restart(ctx); err != nil {
		test.t.Fatal(err)
	}
}
