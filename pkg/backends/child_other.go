//go:build unix && !linux

package backends

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// launch starts cmd and a watchdog that sends it onDeath when this process ends, and
// calls ended with the result once cmd is reaped.
func launch(cmd *exec.Cmd, onDeath syscall.Signal, ended func(error)) error {
	dog, err := startWatchdog(onDeath)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		dog.dismiss()
		return err
	}
	if err := dog.guard(cmd.Process.Pid); err != nil {
		dog.dismiss()
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	go func() {
		err := cmd.Wait()
		dog.dismiss()
		ended(err)
	}()
	return nil
}

// descendants lists the processes below pid. It may miss one that is made meanwhile:
// suspend its parent first.
func descendants(pid int) ([]int, error) {
	text, err := exec.Command("/bin/ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, err
	}
	parents := make(map[int][]int)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		child, err1 := strconv.Atoi(fields[0])
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil {
			parents[parent] = append(parents[parent], child)
		}
	}
	return collect(parents, pid), nil
}

// alive reports whether a process exists. Here it cannot tell a zombie.
func alive(pid int) bool { return exists(pid) }

// occupants lists the postmaster on a data folder, if there is one.
func occupants(dir string) []int {
	pid, _, err := postmaster(dir)
	if err != nil || !alive(pid) {
		return nil
	}
	name, err := exec.Command("/bin/ps", "-p", strconv.Itoa(pid), "-o", "comm=").Output()
	base := filepath.Base(strings.TrimSpace(string(name)))
	if err != nil || !strings.HasPrefix(base, "post") {
		return nil
	}
	return []int{pid}
}
