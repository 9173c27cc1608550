package allocator

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"notsale/pkg/host"
)

// stallSlack is how much longer than its limit a call may take before its term
// counts as stalled. Every call ends by itself at its limit, so one that does not
// is blocked in something without a limit, such as a write to a pipe that nobody
// reads.
const stallSlack = 2 * time.Second

// troubleAfter is when an allocator is not ready because a sale is not decided.
// Shoppers have waited as long for their decision, and have been told to ask
// again.
const troubleAfter = 5 * time.Second

const (
	waiting   = "waiting for messages"
	restoring = "restoring from the ledger"
	queueing  = "waiting for its turn to restore"
)

// progress is what others can see of a term: the calls under way, its failures,
// and how far its restore is. The term writes it; Hold and Ready read it.
type progress struct {
	host     host.Host
	attended *atomic.Int64 // for how long Hold has watched the terms, in nanoseconds

	mu      sync.Mutex    // guards what follows
	doing   string        // the calls under way
	since   time.Time     // when they began
	began   int64         // the same in attended time
	limit   time.Duration // most that they take
	failing error         // the first failure since the term was well; nil: it is
	failed  time.Time     // when that was

	restore time.Time // when the restore under way began, all its tries included; zero: there is none
	warned  bool      // of its length
	at, to  int64     // the position that it has reached, and the last one
}

func newProgress(h host.Host, attended *atomic.Int64) *progress {
	p := &progress{host: h, attended: attended}
	p.begin(waiting, ledgerTimeout) // from now on it can stall
	return p
}

// begin says that calls begin, and how long they take at most. They count as under
// way until the next begin.
func (p *progress) begin(what string, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing, p.limit, p.since, p.began = what, limit, p.host.Now(), p.attended.Load()
}

// well says that the term works: it waits for messages, or its commit succeeded.
func (p *progress) well() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = nil
}

// fail says that a call has failed, and reports whether it is the first since the
// term was well.
func (p *progress) fail(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing != nil {
		return false
	}
	p.failing, p.failed = err, p.host.Now()
	return true
}

// restores says that a restore has reached a position on its way to another.
func (p *progress) restores(at, to int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.restore.IsZero() {
		p.restore, p.warned = p.host.Now(), false
	}
	p.at, p.to = at, to
}

// restored says that there is no restore under way. It returns how long the last
// one took if late has warned of it, else 0.
func (p *progress) restored() (took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.warned && !p.restore.IsZero() {
		took = p.host.Now().Sub(p.restore)
	}
	p.restore, p.warned = time.Time{}, false
	return took
}

// late returns, once per restore, a warning that it takes long; else nil.
func (p *progress) late(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.lateRestore(now)
	if p.warned || err == nil {
		return nil
	}
	p.warned = true
	return err
}

func (p *progress) lateRestore(now time.Time) error {
	took := now.Sub(p.restore)
	if p.restore.IsZero() || took <= troubleAfter {
		return nil
	}
	return fmt.Errorf("%s takes %v already, position %d of %d is read", restoring, took.Round(time.Second), p.at, p.to)
}

// stalled returns what has blocked the term for too long at a moment of the
// attended time, or nil.
func (p *progress) stalled(attended int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if over := time.Duration(attended - p.began); p.doing != queueing && over > p.limit+stallSlack {
		return fmt.Errorf("%w: %s takes %v already", errStalled, p.doing, over.Round(time.Second))
	}
	return nil
}

// trouble returns why the sale has not been decided for a while, or nil.
func (p *progress) trouble(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.lateRestore(now)
	switch {
	case p.failing != nil && now.Sub(p.failed) > troubleAfter:
		return fmt.Errorf("for %v: %w", now.Sub(p.failed).Round(time.Second), p.failing)
	case late != nil:
		return late
	case p.doing != waiting && now.Sub(p.since) > troubleAfter:
		return fmt.Errorf("%s takes %v already", p.doing, now.Sub(p.since).Round(time.Second))
	}
	return nil
}
