// Package backends starts the three stores that notsale needs, as one process
// tree: NATS embedded in this process, Postgres as a child process, and Redis
// as a child process if redis-server is installed (else an in-process stand-in,
// with a visible note: Redis is only a cache).
//
//	            Start(ctx, Config)
//	   ┌──────────────┼───────────────┐           locks: Data, and one per part
//	   ▼              ▼               ▼
//	NATS server    redis-server    postgres
//	in-process     own group       own group, its children in own sessions
//	Data/nats      no data         Data/postgres
//
// # Authority
//
// The package owns the folder Data and everything below it, while it holds the
// lock file in it. The parts listen on free loopback ports, with passwords in
// files Data/*.password (mode 0600; never in an argument list, never in a log
// line). Of the stores' contents it makes only an empty database named notsale.
// A part whose URL is given in Config is external: it is not started, watched
// or stopped. The folder is locked all the same, because the program keeps
// files of its own there.
//
// # Invariants
//
//   - One process per folder: a second one gets [ErrInUse] before it touches
//     anything.
//   - What was acknowledged survives power loss: Postgres runs with fsync,
//     synchronous_commit and full_page_writes on, NATS with SyncAlways, unless
//     Config.Ephemeral gives that up for a test. A stream survives if the
//     server is killed while it writes the stream's settings: see repairMetas.
//   - No child outlives this process, even if it is killed with SIGKILL: on
//     Linux the kernel signals the children (Pdeathsig), elsewhere a small
//     watchdog shell does. Postgres then stops at once and recovers at the next
//     start.
//   - A signal from the terminal reaches only this process, which stops its
//     parts in order: NATS, Redis, Postgres.
//   - Root never runs a child as root: they run as nobody, or, if the folder is
//     another user's, as that user.
//
// # Failure
//
// The error of [Start] names the part, the end of its log, and what to do;
// parts that had started are stopped. A part that ends by itself later is
// started again on the same data, port and password, after a pause that grows;
// each time is an error in the log. [Backends.Done] reports when a part does
// not stay up (except Redis: selling goes on without it), or when the folder
// was removed or replaced. If the Postgres of a killed process is still ending
// on its folder, the next start waits for it.
package backends
