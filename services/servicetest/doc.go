// Package servicetest sets the stage for tests of the services: a migrated
// database, a NATS server and a Redis key space of the test's own, connections
// to them, and a client that speaks to the shop as scripts do.
//
// Purpose: tests of services on real servers and real HTTP, without mocks, and
// without each test saying how to connect.
//
// Authority: none; it is test support and imports no service, so that every
// service's tests can use it.
//
// Invariants: whatever a Stage opened is closed when the test ends, in the
// reverse order; a service that Run started has returned by then.
//
// Failure behaviour: what cannot be set up fails the test at once. Waiting is
// polling with a deadline (Eventually), never a sleep of a guessed length.
package servicetest
