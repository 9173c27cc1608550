// Package backends starts the three stores that notsale needs, as one process
// tree: NATS embedded in this process, Postgres as a child process, and Redis
// as a child process where redis-server is installed (else an in-process
// stand-in, with a visible note: Redis is only a cache).
//
//	            Start(ctx, Config)
//	   ┌──────────────┼───────────────┐           locks: Data, and one per part
//	   ▼              ▼               ▼
//	NATS server    redis-server    postgres
//	in-process     own group       own group, children in sessions of their own
//	Data/nats      nothing         Data/postgres
//
// # Authority
//
// The package owns the folder Data and everything below it, for as long as it
// holds the lock file in it. It decides where the parts listen and with which
// passwords (files Data/*.password, mode 0600; never in an argument list, never
// in a log line). It decides nothing about what the stores contain, beyond an
// empty database named notsale. A part whose URL is given in Config is somebody
// else's: nothing is started, watched or stopped for it; the folder is locked
// all the same, for what the program keeps there.
//
// # Invariants
//
//   - One process per folder: a second one gets [ErrInUse] before it touches
//     anything.
//   - What was acknowledged survives power loss: Postgres runs with fsync,
//     synchronous_commit and full_page_writes on, NATS with SyncAlways, unless
//     Config.Ephemeral gives that up for a test. A stream whose settings the
//     server was writing when it was killed is there again: see repairMetas.
//   - No child outlives this process, even one that was killed with SIGKILL:
//     on Linux the kernel signals the children (Pdeathsig), elsewhere a small
//     watchdog shell does. Postgres is told to stop at once and recovers at the
//     next start.
//   - A signal from the terminal reaches only this process, which stops its
//     parts in order: NATS, Redis, Postgres.
//   - Root never runs a child as root: they run as nobody, or, if the folder is
//     another user's, as that user.
//
// # Failure
//
// [Start] gives back an error that names the part, the end of its log, and what
// to do; whatever had been started by then is stopped. A part that ends by
// itself later is started again on the same data, port and password, after a
// pause that grows; each time is an error in the log. When it does not stay up
// (Redis excepted, without which selling goes on), or the folder was removed or
// replaced, [Backends.Done] says so once. A Postgres folder left by a killed
// process is waited for (its old postmaster may still be ending), then
// recovered.
package backends
