// Command checkhistory judges a saved run again:
//
//	go run ./loadtest/faults/check/checkhistory run.jsonl
//
// It prints the report and exits with 1 if anything is violated, with 2 if the
// file is no whole history.
package main
