// Package faults holds the fault tests: real processes of the notsale program
// on real Postgres, Redis and NATS, a crowd that buys, a fault, and an audit of
// what everybody was told.
//
// Purpose: each cell of the fault matrix that needs a process to die, to stop,
// to be cut off or to lose what it had stored; and processes that die at each
// point which package crash names.
//
// They run under plain go test, beside each other, for they mostly wait; in the
// long form those that measure what the program takes come first, alone. None
// fails by the clock. Package cluster runs the processes, proxy has the network's faults.
package faults
