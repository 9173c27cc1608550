// Package host is all that a service's logic knows of goroutines and time.
//
// Purpose: the same sequential code runs on real goroutines and, in the
// simulator, on coroutines of a seeded scheduler, where every call below, and
// every port of the service, is a place to wait, to fail or to die.
//
// Authority: none.
//
// Invariants: logic that is given a Host starts no goroutine, has no channel, no
// timer and no select of its own, and holds no lock while it calls a port or a
// method of Host that waits.
//
// Failure behaviour: what waits ends with its context.
package host
