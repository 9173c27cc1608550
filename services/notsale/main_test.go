//go:build unix

package main

import (
	"io"
	"os"
	"testing"

	"notsale/pkg/backends/backendstest"
)

// asProgram in the environment makes the test binary the program itself, with
// the race detector in it when the tests have it.
const asProgram = "NOTSALETEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		go func() { // whoever started us holds the other end, and dies with it
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(1)
		}()
		main()
		os.Exit(0)
	}
	backendstest.Main(m)
}
