// Package cluster runs the notsale program as many processes on stores of a test's
// own, and lets a crowd of shoppers buy, for tests of faults in real processes and
// real servers.
//
//	Cluster  stores, keys, processes; Start, and what the tables say
//	Process  kill, stop, continue, terminate; metrics and log
//	Crowd    shoppers who ask with the same code at another edge until they are answered
//	History  what they were told and what the ledger says, for loadtest/faults/check
//	Audit    the judgement of the program's own auditor and of that checker
//
// Authority: none. It knows no rule of a sale: the auditor and the checker do.
//
// Invariants: a process that was started has ended when the test ends, also one
// that was stopped; nothing waits without a deadline.
//
// Failure behaviour: what cannot be set up fails the test at once; when a test
// fails, the end of every process's log is shown.
package cluster
