package backends

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// launch starts cmd so that the kernel sends it onDeath when this process ends,
// and calls ended with the result once it is reaped.
//
// The kernel sends the signal when the thread that forked ends, so the goroutine keeps
// that thread, and never unlocks it, as long as the child lives. Go sets the death
// signal after it has changed the user, which would clear it.
func launch(cmd *exec.Cmd, onDeath syscall.Signal, ended func(error)) error {
	cmd.SysProcAttr.Pdeathsig = onDeath
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended(cmd.Wait())
		}
	}()
	return <-started
}

// descendants lists the processes below pid. It may miss one that is made meanwhile:
// suspend its parent first.
func descendants(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	parents := make(map[int][]int, len(entries))
	for _, e := range entries {
		if child, err := strconv.Atoi(e.Name()); err == nil {
			parent, _ := readStat(child)
			parents[parent] = append(parents[parent], child)
		}
	}
	return collect(parents, pid), nil
}

// readStat returns a process's parent and state (R, S, Z …), -1 and 0 if it has ended.
// The name before them may contain anything, parentheses included.
func readStat(pid int) (parent int, state byte) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return -1, 0
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 || len(fields[0]) != 1 {
		return -1, 0
	}
	parent, err = strconv.Atoi(string(fields[1]))
	if err != nil {
		return -1, 0
	}
	return parent, fields[0][0]
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	_, state := readStat(pid)
	return state != 0 && state != 'Z' && state != 'X'
}

// occupants lists the postgres processes on a data folder, orphans of a postmaster
// included: it is the working folder of all of them.
func occupants(dir string) []int {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil
	}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var found []int
	for _, link := range links {
		if cwd, err := os.Readlink(link); err != nil || cwd != real {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "comm"))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && strings.HasPrefix(string(comm), "post") && alive(pid) {
			found = append(found, pid)
		}
	}
	return found
}
