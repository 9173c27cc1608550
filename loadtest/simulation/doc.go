// Package simulation runs whole sales in one thread, on a virtual clock, from a
// seed: shoppers, edges, allocators with their standbys, recorders, schedulers,
// streams, ledger and cache, with crashes between any two steps: at any time, and
// before or after any call to a server (Points).
//
// Purpose: find the interleavings that no test would think of, and replay each
// from its printed seed.
//
// What runs here is the services' own logic: all of services/allocator,
// services/edge/shop, services/recorder and services/scheduler but their shells, with
// pkg/pack and pkg/follow, on coroutines of which each call of a port, and each wait,
// gives way to the world. And rejection.Judge, the engine, the codes and the messages.
// What is modelled is the world around it: a stream that can lose
// messages, acknowledgements and its tail; a ledger that commits or not and may
// not say which, and may be slow; a cache that forgets; processes that crash, stop and
// go on; clocks that step. The models of the ledger and of the streams that schedulers make
// are held against the real ones.
//
// Invariants: the same seed gives the same run, event by event, which its trace
// hash shows. Nothing here reads a clock, starts a goroutine that runs beside
// another or ranges over a map where the order could be seen.
//
// Failure behaviour: a run ends with a list of violations, each naming the
// invariant; the world heals before the end, so what never comes to its end is
// a violation too.
package simulation
