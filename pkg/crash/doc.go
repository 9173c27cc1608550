// Package crash lets a process die at a named point of its work, to see that
// others go on from there.
//
// Purpose: a process can be killed at any instant, and the instants that matter
// lie between two effects: decided and not committed, committed and not told.
// Killing by time meets them rarely; a name meets them always.
//
//	go build -tags crashpoints ./services/notsale
//	NOTSALE_CRASH_AT=allocator/after-commit:3 notsale allocator …
//
// dies, as of SIGKILL, when it has committed for the third time.
//
// Authority: none. In a build without the tag At is an empty function that the
// compiler leaves out, and the variable is not read.
//
// Invariants: each name of Points stands in the code once, and no other does.
// Nothing is flushed, closed or given back on the way out.
package crash
