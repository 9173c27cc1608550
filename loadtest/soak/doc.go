//go:build unix

// Package soak lets a shop run for hours and checks whether anything piles up:
//
//	go test ./loadtest/soak -run TestSoak -v -timeout 0 -for 2h
//
// Sales of an hour are compressed to a minute. Real processes, two of each
// role, on real and durable stores, each process behind proxies. In each slot:
//
//   - shoppers sell the new sale out, and every answer is checked; each fourth
//     sale is left unsold instead, so that unsold ones pile up and old ones go
//     on selling an item now and then;
//   - codes that were granted at any time are sent again and must get the same
//     body, byte for byte;
//   - bad checkouts and forged codes keep coming;
//   - a part dies, stops, is slow or is cut off, another one every few seconds:
//     any role, Postgres, Redis or NATS. All is healed before the slot ends.
//
// At the end of each slot the soak counts streams, room, memory, descriptors,
// goroutines and sessions of Postgres. At its end it prints the course of each
// count and fails where one grew by more than the unsold sales explain, where a
// sale was missed or opened late, where an answer was wrong, and where an audit
// of any sale is not clean.
package soak
