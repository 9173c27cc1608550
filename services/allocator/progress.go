package allocator

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"notsale/pkg/host"
)

// stallSlack is how much longer than its own limit an effect may take before
// its loop counts as stalled: every call gives up by itself at its limit, so
// what does not is blocked in something that knows no limit, such as a write
// to a pipe that nobody reads.
const stallSlack = 2 * time.Second

// troubleAfter is when an allocator is not ready because a sale is not decided:
// shoppers have waited as long for their decision, and have been told to ask
// again.
const troubleAfter = 5 * time.Second

const (
	waiting   = "waiting for messages"
	restoring = "restoring from the ledger"
)

// progress is what can be seen of a loop from outside.
type progress struct {
	host     host.Host
	attended *atomic.Int64 // the time for which the term was looked after, in nanoseconds

	mu      sync.Mutex    // guards what follows
	doing   string        // the calls under way
	since   time.Time     // when that began
	began   int64         // the same in attended time
	limit   time.Duration // most that they take
	failing error         // the first failure since the loop was well; nil: it is
	failed  time.Time     // when that was

	restore time.Time // when the restore under way began, over all its tries; zero: there is none
	told    bool      // that it takes long
	at, to  int64     // the position that it has come to, and the last
}

func newProgress(h host.Host, attended *atomic.Int64) *progress {
	p := &progress{host: h, attended: attended}
	p.begin(waiting, ledgerTimeout) // it is looked after from now on
	return p
}

// begin says that calls begin, how long they take at most, and that they are under
// way until the next begin.
func (p *progress) begin(what string, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing, p.limit, p.since, p.began = what, limit, p.host.Now(), p.attended.Load()
}

// waits says that the term waits for messages: it is well.
func (p *progress) waits(patience time.Duration) {
	p.begin(waiting, patience)
	p.well()
}

// well says that the term waits for messages, or tells what it has committed.
func (p *progress) well() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = nil
}

// idle says that nothing waits to be decided.
func (p *progress) idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restore = time.Time{}
}

// page says that a restore reads on from this position on its way to another. It
// makes progress as long as one page is read after another.
func (p *progress) page(at, to int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.restore.IsZero() {
		p.restore, p.told = p.host.Now(), false
	}
	p.at, p.to = at, to
}

// late returns, once of each restore, that it takes long at this moment; else nil.
func (p *progress) late(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.unrestored(now)
	if p.told || err == nil {
		return nil
	}
	p.told = true
	return err
}

func (p *progress) unrestored(now time.Time) error {
	took := now.Sub(p.restore)
	if p.restore.IsZero() || took <= troubleAfter {
		return nil
	}
	return fmt.Errorf("%s takes %v already, position %d of %d is read", restoring, took.Round(time.Second), p.at, p.to)
}

// restored says that a restore has ended, and returns how long it took where it
// was told that it takes long, else 0.
func (p *progress) restored() (took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told && !p.restore.IsZero() {
		took = p.host.Now().Sub(p.restore)
	}
	p.restore, p.told = time.Time{}, false
	return took
}

// queue says that the restore waits for its turn, to which no limit applies, until
// the next begin.
func (p *progress) queue(at, to int64) {
	p.page(at, to)
	p.begin(queueing, 0)
}

const queueing = "waiting for its turn to restore"

// fail says that an effect has failed, and reports whether that is news.
func (p *progress) fail(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing != nil {
		return false
	}
	p.failing, p.failed = err, p.host.Now()
	return true
}

// stalled returns what the loop is blocked in at this moment of the attended
// time, or nil.
func (p *progress) stalled(attended int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if over := time.Duration(attended - p.began); p.doing != "" && p.doing != queueing && over > p.limit+stallSlack {
		return fmt.Errorf("%w: %s takes %v already", errStalled, p.doing, over.Round(time.Second))
	}
	return nil
}

// trouble returns why the sale has not been decided for a while, or nil.
func (p *progress) trouble(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.unrestored(now)
	switch {
	case p.failing != nil && now.Sub(p.failed) > troubleAfter:
		return fmt.Errorf("for %v: %w", now.Sub(p.failed).Round(time.Second), p.failing)
	case late != nil:
		return late
	case p.doing != "" && p.doing != waiting && now.Sub(p.since) > troubleAfter:
		return fmt.Errorf("%s takes %v already", p.doing, now.Sub(p.since).Round(time.Second))
	}
	return nil
}
