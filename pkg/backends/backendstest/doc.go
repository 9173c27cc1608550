// Package backendstest gives each test a database, a NATS server and a Redis
// key space of its own, on real servers.
//
// # Purpose
//
// One Postgres and one redis-server serve all tests of a test process; they
// start when the first test asks (about 0.7 s) and listen on loopback ports. [New]
// then costs some 50 ms: CREATE DATABASE, an embedded NATS server with a store
// in a temporary folder, and a free one of Redis's numbered databases. Tests may
// run in parallel.
//
// A package whose tests use it declares
//
//	func TestMain(m *testing.M) { backendstest.Main(m) }
//
// or, with goleak, goleak.VerifyTestMain(backendstest.Runner{M: m}). A package
// that forgets this leaves a folder in the temporary folder (a later run sweeps
// it away), but no process.
//
// # Authority and invariants
//
// Nothing is shared between two tests but the servers' time: a test must not
// use FLUSHALL, or look at databases other than its own. The servers run
// without fsync, and NATS without SyncAlways, because tests kill processes but
// never cut the power; the option [Durable] gives the durable settings. A test
// that kills, stops or fills a server takes one for itself, with
// [WithOwnPostgres] or [WithOwnRedis]; the NATS server is always its own.
//
// # Failure
//
// A missing redis-server is replaced by an in-process miniredis. With
// NOTSALE_REQUIRE_REAL=1, as in CI, that and every other missing program fails
// the test; see [RequireReal].
package backendstest
