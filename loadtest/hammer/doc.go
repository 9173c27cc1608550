// Command hammer sells out a sale over HTTP as fast as it can, in a closed
// loop, and checks every answer it got:
//
//	go run ./loadtest/hammer --target http://127.0.0.1:8080 --clients 256 --users 1000
//
// It needs a sale with items left, prints a report, and exits with 1 if a
// check fails, with 2 if there was nothing to check. With --contention N,
// every item is wanted by N rivals as well, who keep to no limit of their own.
//
// It buys: a target beyond this machine needs --allow-remote.
package main
