//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"notsale/pkg/client"
)

// stage is the testing.TB of a soak, which is no test: it lets the cluster of
// the fault tests serve a command. Only what the cluster calls is there.
type stage struct {
	testing.TB // nil; for the methods that nobody calls

	ctx context.Context
	out io.Writer

	mu       sync.Mutex
	cleanups []func() // guarded by mu
	wrong    []string // what was found, at most maxWrong; guarded by mu
	count    int      // of all that was found; guarded by mu
}

// maxWrong is how many findings are kept and shown: the first ones tell.
const maxWrong = 50

// fatal ends a soak that cannot go on.
type fatal string

// shop is a client of the edge at an address.
func (s *stage) shop(address string) *client.Client {
	c, err := client.New(client.Config{Base: "http://" + address, Timeout: requestTime})
	if err != nil {
		s.Fatal(err)
	}
	return c
}

func (s *stage) Helper()                  {}
func (s *stage) Name() string             { return "soak" }
func (s *stage) Context() context.Context { return s.ctx }
func (s *stage) Log(args ...any)          { fmt.Fprintln(s.out, args...) }

func (s *stage) Logf(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *stage) Error(args ...any) { s.Errorf("%s", fmt.Sprint(args...)) }

func (s *stage) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count++; s.count <= maxWrong {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
		fmt.Fprintf(s.out, "WRONG: "+format+"\n", args...)
	}
}

func (s *stage) Fatal(args ...any) { panic(fatal(fmt.Sprint(args...))) }

func (s *stage) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

func (s *stage) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count > 0
}

func (s *stage) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "notsale-soak-*")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// clear calls what was left for the end, last first.
func (s *stage) clear() {
	for {
		s.mu.Lock()
		n := len(s.cleanups)
		if n == 0 {
			s.mu.Unlock()
			return
		}
		f := s.cleanups[n-1]
		s.cleanups = s.cleanups[:n-1]
		s.mu.Unlock()
		f()
	}
}
