// Package effort says how much tests do, and how long they wait.
//
// # Purpose
//
// Every check has two forms. The short one is what `go test ./...` runs: all
// kinds of checks on real servers, in few rounds, so that the whole takes some
// minutes on two cores. The long one, which `make check` and CI run, is asked
// for by NOTSALE_LONG=1 in the environment: all rounds, full sizes.
//
// # Invariants
//
// No test fails by the clock, in either form. A test waits for what must happen, for
// a signal or by looking again, up to [Patience]; how long it took is a [Figure]
// beside its goal, which `make measure` shows. Times that are too expensive to
// measure in tests are measured by benchmarks. Memory may be asserted, with ample
// room.
//
// Golden files are written by no run but one with NOTSALE_UPDATE=1 in the
// environment ([Update]).
//
// # Authority
//
// None: it is test support, imported by tests and their helpers.
package effort
