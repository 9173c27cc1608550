// Package planted names bugs that can be built in, to see that they are caught.
//
// Purpose: a check that has never failed proves nothing. Each bug is one that
// this system must not have and that somebody could write; the build tag puts
// them all into the code that runs in production, the environment says which of
// them a process has, and the check that is there to find it has to fail.
//
//	NOTSALE_PLANTED=fence_skipped go test -tags planted ./pkg/ledger
//
// Authority: none. Code asks
//
//	if planted.Bug == planted.FenceSkipped {
//
// and the compiler leaves the branch out of every build without the tag.
//
// Invariants: without the tag Bug is the constant "", and the variable is not
// read; no process has two bugs. The package imports nothing then, so that
// everything may import it.
package planted
