// Package telemetry makes what a process shows of itself: its logger, its
// metrics registry, its health, and the operations listener that serves them.
//
// Authority: each process has one logger and one registry, made at start and
// handed on; nothing global is set, so that tests and several services in one
// process do not mix.
//
// Invariants: no user id and no code ever stands in a log line or a label.
//
// Failure behaviour: a probe that does not answer within ProbeTimeout counts
// as failed; the operations listener serves metrics and profiles whatever the
// dependencies do. A log whose reader is slow or gone holds nobody up: lines are
// dropped and counted, and the reader is told once it is back.
package telemetry
