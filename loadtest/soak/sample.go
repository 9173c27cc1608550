//go:build unix

package soak

import (
	"context"
	"os"
	"time"

	"github.com/prometheus/procfs"

	"notsale/loadtest/faults/cluster"
)

// sample is what was counted at the end of a slot.
type sample struct {
	sale   int64
	unsold int                // open sales that nobody sells out
	counts map[string]float64 // what could not be counted is missing
}

// The counts.
const (
	countStreams     = "streams"
	countReserved    = "reserved, MiB"
	countSessions    = "Postgres sessions"
	countConsumers   = "consumers"
	countStores      = "stores' memory, MiB" // of this process, which runs NATS, and of Redis
	memoryOf         = "memory, MiB: "
	goroutinesOf     = "goroutines: "
	descriptorsOf    = "descriptors: "
	storesName       = "NATS"
	mebibyte         = 1 << 20
	sampleTime       = 10 * time.Second
	archivedMetric   = "notsale_archiver_sales_archived_total"
	connectionsQuery = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
)

// look takes a sample.
func (h *house) look(of int64, unsold int) sample {
	s := sample{sale: of, unsold: unsold, counts: map[string]float64{}}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), sampleTime)
	defer cancel()
	if info, err := h.JetStream().AccountInfo(ctx); err == nil {
		s.counts[countStreams] = float64(info.Streams)
		s.counts[countReserved] = float64(info.ReservedStore) / mebibyte
		s.counts[countConsumers] = float64(info.Consumers)
	} else {
		h.wrongf("NATS does not say what it keeps: %v", err)
	}
	s.counts[countSessions] = float64(h.Number(connectionsQuery))
	s.counts[countStores] = resident(os.Getpid()) + resident(h.RedisPID())
	for role, members := range h.all() {
		for _, p := range members {
			switch {
			case role != archiver:
				s.counts[memoryOf+role] += resident(p.PID())
			case p.Metric(archivedMetric) > 0: // only one at a time works, and faults decide which
				s.counts[memoryOf+role] = max(s.counts[memoryOf+role], resident(p.PID()))
			}
			s.counts[goroutinesOf+role] += p.Metric("go_goroutines")
			s.counts[descriptorsOf+role] += descriptors(p.PID())
		}
	}
	s.counts[descriptorsOf+storesName] = descriptors(os.Getpid())
	return s
}

func resident(pid int) float64 {
	return float64(cluster.UsageOf(pid).RSS) / mebibyte
}

// descriptors counts the open files of a process.
func descriptors(pid int) float64 {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	n, _ := p.FileDescriptorsLen() // 0: it has just ended
	return float64(n)
}
