// Package faults holds the fault tests: real processes of the notsale program
// on real Postgres, Redis and NATS, a crowd that buys, a fault, and an audit of
// what everybody was told.
//
// Purpose: each cell of the fault matrix that needs a process to die, to stop,
// to be cut off or to lose what it had stored.
//
// They run under plain go test: first, alone, those that measure what the program
// takes, then the others beside each other, which mostly wait. None fails by the
// clock. The stage stands in arena, the network's faults in proxy.
package faults
