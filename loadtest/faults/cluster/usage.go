//go:build unix

package cluster

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"github.com/redis/go-redis/v9"
)

// Usage is what a process, and its children, have used since they began.
type Usage struct {
	CPU time.Duration // user and system
	RSS int64         // bytes now
}

// ticksPerSecond is the unit of times in /proc, the same on every Linux.
const ticksPerSecond = 100

// UsageOf reads the usage of a process from /proc; zero: there is none.
func UsageOf(pid int) Usage {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return Usage{}
	}
	s, err := p.Stat()
	if err != nil {
		return Usage{}
	}
	return usageOf(&s)
}

func usageOf(s *procfs.ProcStat) Usage {
	ticks := int(s.UTime+s.STime) + s.CUTime + s.CSTime
	return Usage{CPU: time.Duration(ticks) * time.Second / ticksPerSecond, RSS: int64(s.ResidentMemory())}
}

// FamilyUsage adds what living children use to a process's own.
func FamilyUsage(pid int) Usage {
	sum := UsageOf(pid)
	all, _ := procfs.AllProcs() // none: only the process's own
	for _, p := range all {
		if s, err := p.Stat(); err == nil && s.PPID == pid {
			u := usageOf(&s)
			sum.CPU += u.CPU
			sum.RSS += u.RSS
		}
	}
	return sum
}

// PostgresPID is the postmaster of the test's own Postgres.
func (a *Cluster) PostgresPID() int {
	a.t.Helper()
	return int(a.Number(`SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int`))
}

// RedisPID is the process that serves Redis.
func (a *Cluster) RedisPID() int {
	a.t.Helper()
	o, err := redis.ParseURL(a.RedisURL)
	a.must(err)
	o.DisableIdentity = true
	c := redis.NewClient(o)
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	text, err := c.Info(ctx, "server").Result()
	a.must(err)
	_, rest, _ := strings.Cut(text, "process_id:")
	line, _, _ := strings.Cut(rest, "\r")
	pid, _ := strconv.Atoi(line) // 0: Redis is in this process
	return pid
}
