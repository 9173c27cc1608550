//go:build unix

package cluster

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// unreadPipe returns the writing end of a pipe that nobody reads. Both ends are closed
// when the test ends.
func (a *Cluster) unreadPipe() *os.File {
	a.t.Helper()
	r, w, err := os.Pipe()
	a.must(err)
	a.t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return w
}

// FillLog fills the log of a process that was started with Unread: whoever
// writes to it from now on blocks.
func (a *Cluster) FillLog(p *Process) {
	a.t.Helper()
	// Opened again, so that only these writes do not block.
	fd, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", p.pipe.Fd()), syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
	a.must(err)
	defer func() { _ = syscall.Close(fd) }()
	for _, size := range []int{4096, 1} {
		for err = nil; err == nil; {
			_, err = syscall.Write(fd, make([]byte, size))
		}
		if !errors.Is(err, syscall.EAGAIN) {
			a.t.Fatal(err)
		}
	}
}
