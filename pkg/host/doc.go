// Package host is the only way in which a service's logic starts tasks, waits and
// reads the clock.
//
// Purpose: the same sequential code runs on real goroutines and, in the
// simulator, on coroutines of a seeded scheduler. There every call below, and
// every call of a port of the service, is a place to wait, to fail or to die.
//
// Authority: none.
//
// Invariants: logic that is given a Host starts no goroutine and has no channel,
// timer or select of its own. It holds no lock while it calls a port, or a method
// of Host that waits.
//
// Failure behaviour: whatever waits returns when its context ends.
package host
