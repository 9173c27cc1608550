//go:build unix

package backendstest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

func TestTestsDoNotSeeEachOther(t *testing.T) {
	for _, name := range []string{"one", "two", "three"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			useAll(t, backendstest.New(t))
		})
	}
}

// useAll makes in each store what could be made only once if it were shared.
func useAll(t *testing.T, test *backendstest.Test) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), effort.Patience)
	defer cancel()
	conn := connect(t, test.DatabaseURL)
	if _, err := conn.Exec(ctx, "CREATE TABLE only_once (id int)"); err != nil {
		t.Errorf("postgres: %v", err)
	}
	client := redisClient(t, test.RedisURL)
	if made, err := client.SetNX(ctx, "only once", 1, 0).Result(); err != nil || !made {
		t.Errorf("redis: made %v, %v", made, err)
	}
	streams := jetStream(t, test.NATSURL)
	if _, err := streams.Stream(ctx, "ONCE"); err == nil {
		t.Error("nats: the stream is there already")
	}
	if _, err := streams.CreateStream(ctx, jetstream.StreamConfig{Name: "ONCE", Subjects: []string{"once"}}); err != nil {
		t.Errorf("nats: %v", err)
	}
}

func TestNATSKeepsItsStreamsAndPort(t *testing.T) {
	t.Parallel()
	test := backendstest.New(t)
	streams := jetStream(t, test.NATSURL)
	if _, err := streams.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := streams.Publish(t.Context(), "kept", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	test.StopNATS()
	test.StartNATS()
	stream, err := jetStream(t, test.NATSURL).Stream(t.Context(), "KEPT")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.LastSeq; got != 1 {
		t.Errorf("last sequence %d, want 1", got)
	}
}

func TestOwnServersMayBeKilled(t *testing.T) {
	t.Parallel()
	test := backendstest.New(t, backendstest.WithOwnPostgres, backendstest.WithOwnRedis)
	useAll(t, test)
	if err := test.Postgres.Kill(); err != nil {
		t.Error(err)
	}
	if err := test.Redis.Kill(); err != nil {
		t.Error(err)
	}
	if err := test.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := test.Redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, test.DatabaseURL)
	if _, err := conn.Exec(t.Context(), "INSERT INTO only_once VALUES (1)"); err != nil {
		t.Errorf("the table did not survive: %v", err)
	}
	if err := redisClient(t, test.RedisURL).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func TestDurableSyncs(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string][]backendstest.Option{"off": nil, "on": {backendstest.Durable}} {
		var got string
		conn := connect(t, backendstest.New(t, opts...).DatabaseURL)
		if err := conn.QueryRow(t.Context(), "SHOW fsync").Scan(&got); err != nil || got != want {
			t.Errorf("fsync is %s (%v), want %s", got, err, want)
		}
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	streams, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return streams
}
