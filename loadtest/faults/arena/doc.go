// Package arena is where the fault tests fight: stores of a test's own, the
// notsale program as many processes, a crowd of shoppers, and an audit of what
// they were told.
//
// Purpose: faults in real processes and real servers, and one place that knows
// what must hold afterwards.
//
//	Arena    stores, keys, processes; Start, and what the tables say
//	Process  kill, stop, continue, terminate; metrics and log
//	Crowd    shoppers who retry the same code at another edge until it is answered
//	Audit    the invariants of the design, checked over ledger, stream and answers
//
// Authority: none. The audit replays the stream with pkg/allocation and believes
// neither the ledger nor the answers.
//
// Invariants: a process that was started has ended when the test ends, also one
// that was stopped; nothing waits without a deadline.
//
// Failure behaviour: what cannot be set up fails the test at once; when a test
// fails, the end of every process's log is shown.
package arena
