// Command k6 is the load tester k6, pinned by this folder's go.mod, so that
// the scripts beside it run without an installed k6:
//
//	go run . run sellout.js
package main

import "go.k6.io/k6/cmd"

func main() { cmd.Execute() }
