//go:build unix

package cluster

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Usage is what a process, and its children, have used since they began.
type Usage struct {
	CPU time.Duration // user and system
	RSS int64         // bytes now
}

// ticksPerSecond is the unit of times in /proc, the same on every Linux.
const ticksPerSecond = 100

// UsageOf reads the usage of a process from /proc; false: there is none.
func UsageOf(pid int) (u Usage, ok bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	fields, ok := statFields(dir)
	if !ok {
		return u, false
	}
	for _, at := range []int{11, 12, 13, 14} { // utime, stime, and those of children that ended
		n, _ := strconv.ParseInt(fields[at], 10, 64)
		u.CPU += time.Duration(n) * time.Second / ticksPerSecond
	}
	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	if m := residentSize.FindSubmatch(status); m != nil {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		u.RSS = n << 10
	}
	return u, true
}

var residentSize = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// statFields is /proc/<pid>/stat from the state on.
func statFields(dir string) ([]string, bool) {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	end := bytes.LastIndexByte(text, ')')
	if err != nil || end < 0 {
		return nil, false
	}
	fields := strings.Fields(string(text[end+1:]))
	return fields, len(fields) > 20
}

// FamilyUsage adds what living children use to a process's own.
func FamilyUsage(pid int) (sum Usage) {
	sum, _ = UsageOf(pid)
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		fields, ok := statFields(dir)
		if !ok || fields[1] != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if u, ok := UsageOf(child); ok {
			sum.CPU += u.CPU
			sum.RSS += u.RSS
		}
	}
	return sum
}

// PostgresPID is the postmaster of the test's own Postgres.
func (a *Cluster) PostgresPID() int {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dataFolder(), "postmaster.pid"))
	if err != nil {
		a.t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		a.t.Fatal(err)
	}
	return pid
}

// RedisPID is the process that serves Redis.
func (a *Cluster) RedisPID() int {
	a.t.Helper()
	o, err := redis.ParseURL(a.RedisURL)
	if err != nil {
		a.t.Fatal(err)
	}
	o.DisableIdentity = true
	c := redis.NewClient(o)
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	text, err := c.Info(ctx, "server").Result()
	if err != nil {
		a.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "process_id:")
	line, _, _ := strings.Cut(rest, "\r")
	pid, _ := strconv.Atoi(line) // 0: the in-process stand-in, which has none
	return pid
}
