// Package simulation runs whole sales in one thread, on a virtual clock, from a
// seed: shoppers, edges, allocators with their standbys, recorders, schedulers,
// streams, ledger and cache, with crashes between any two steps: at any time, and
// before or after any call to a server (Points).
//
// Purpose: find the interleavings that no test would think of, and replay each
// from its printed seed.
//
// What runs here is the services' own logic: services/allocator, services/edge/shop,
// services/recorder and services/scheduler without their shells, pkg/pack, pkg/follow,
// rejection.Judge, the engine, the codes and the messages. It runs on coroutines: each
// call of a port, and each wait, lets other events happen first. The servers are models:
// streams that can lose messages, acknowledgements and their tail; a ledger that may be
// slow, and may not say whether it has committed; a cache that forgets; clocks that
// step. The models of the ledger, and of the streams as schedulers use them, pass the
// same conformance tests as the real ones.
//
// Invariants: the same seed gives the same run, event by event, which its trace
// hash shows. Nothing here reads a clock, starts a goroutine that runs beside
// another or ranges over a map where the order could be seen.
//
// Failure behaviour: a run ends with a list of violations, each naming the
// invariant; the world heals before the end, so what never comes to its end is
// a violation too.
package simulation
