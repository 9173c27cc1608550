//go:build unix

package backends

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// watchdog is a small shell that signals a child when this process dies, for systems
// whose kernel does not do that. It reads from a pipe whose write end only this process
// has: when the pipe closes before dismiss is called, this process has died.
type watchdog struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// The first line names the child. The second read ends when this process does.
const watchdogScript = `read -r pid && { read -r _ ; kill -"$1" "$pid"; } 2>/dev/null`

// startWatchdog starts the shell in a group of its own, which Ctrl-C does not reach,
// as the user of this process, so that root's may signal nobody's processes.
func startWatchdog(onDeath syscall.Signal) (*watchdog, error) {
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "notsale-watchdog", strconv.Itoa(int(onDeath)))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("watchdog: %w", err), pipe.Close())
	}
	return &watchdog{cmd: cmd, pipe: pipe}, nil
}

// guard names the process to signal.
func (w *watchdog) guard(pid int) error {
	if _, err := fmt.Fprintln(w.pipe, pid); err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	return nil
}

// dismiss ends the watchdog before the pipe closes, so that it signals nobody: by now
// the process id may belong to another process.
func (w *watchdog) dismiss() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait() // closes the pipe
}
