// Package boot is the shell around a process: settings from flags, environment
// and files, and the start, run and stop of its fx application.
//
// Purpose: every command of the program reads settings and starts, runs and
// stops services in the same way.
//
// Invariants: a flag on the command line wins over its environment variable
// (NOTSALE_ and the flag's name in upper case with _ for -), which wins over
// the default. A loop that ends by itself ends the process with status 1. Stop
// order is the reverse of start order: ingress, loops, connections.
//
// Failure behaviour: a setting that cannot be read names the flag and the
// variable, and never tells a secret. A second signal ends the process at once.
package boot
