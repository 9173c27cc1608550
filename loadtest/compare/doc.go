//go:build unix

// Command compare measures what the queue, the ledger and the durability
// cost: one sell-out by the notsale program beside the same requests to a
// bare Gin handler, with the same client, on the same machine, in one run:
//
//	go run ./loadtest/compare
//
// The bare handler has the same routes and server settings, answers constant
// JSON of a realistic size, and is a process of its own (this program, started
// again as "serve-bare"). notsale sells out one sale from an empty data
// folder. Each round starts both afresh, one after the other; the printed
// figures are medians over the rounds, as a Markdown table.
//
// The bare handler finishes a sell-out in a fraction of a second, too
// short for a steady figure. So the client is warmed up by a round that does
// not count, the spread over the rounds is printed, and so is the bare
// handler's rate over ten times as many requests: the steadier thing to
// compare with. Nothing else should run on the machine.
//
// A run in which notsale fails one of hammer's checks gives no figures.
package main
