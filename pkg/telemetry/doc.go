// Package telemetry makes a process observable: its logger, its metrics registry,
// its health, and the operations listener that serves them.
//
// Authority: each process has one logger and one registry, made at start and
// passed on; nothing global is set, so that tests and several services in one
// process do not mix.
//
// Invariants: no user id and no code is ever in a log line or a label.
//
// Failure behaviour: a probe that does not answer within ProbeTimeout counts
// as failed; the operations listener serves metrics and profiles whatever the
// dependencies do. A log whose reader is slow or gone does not slow the process down:
// lines are dropped and counted, and the log says so once it is read again.
package telemetry
