package allocator

import (
	"fmt"
	"sync"
	"time"

	"notsale/pkg/rejection"
	"notsale/services/allocator/term"
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

// limitOf says what an effect is called, and how long it takes at most: the sum
// of the timeouts of its calls, one after the other.
func limitOf(e term.Effect) (what string, limit time.Duration) {
	switch e := e.(type) {
	case term.Await:
		return waiting, e.Patience
	case term.Pause:
		return "a pause", e.Length
	case term.ReadLedger:
		return "reading the ledger", ledgerTimeout
	case term.ReadStream, term.OpenReader:
		return "reading the stream", streamLimit
	case term.Peek, term.Compare:
		return "comparing stream and ledger", streamLimit + ledgerTimeout
	case term.OpenHole:
		return "recording a hole", ledgerTimeout
	case term.Restore:
		return restoring, pageTimeout
	case term.Commit:
		return "a commit", ledgerTimeout
	case term.Publish:
		return "telling what is committed", alignLimit + rejection.Timeout
	}
	return "an alarm", 0
}

// streamLimit bounds an effect of up to three calls to NATS.
const streamLimit = 15 * time.Second

const (
	waiting   = "waiting for messages"
	restoring = "restoring from the ledger"
)

// progress is what can be seen of a loop from outside.
type progress struct {
	mu      sync.Mutex    // guards what follows
	doing   string        // the effect under way
	since   time.Time     // when it began
	began   int64         // the same in the time for which the loop was attended, in nanoseconds
	limit   time.Duration // most that it takes
	failing error         // the first failure since the loop was well; nil: it is
	failed  time.Time     // when that was

	restore time.Time // when the restore under way began, over all its tries; zero: there is none
	told    bool      // that it takes long
	at, to  int64     // the position that it has come to, and the last
}

// begin says that the effect begins, at this moment of the attended time. A loop that waits for messages, or tells
// what it has committed, is well.
func (p *progress) begin(e term.Effect, attended int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing, p.limit = limitOf(e)
	p.since, p.began = time.Now(), attended
	switch e.(type) {
	case term.Await, term.Publish:
		p.failing = nil
	case term.Peek: // nothing waits to be decided
		p.restore = time.Time{}
	}
}

// page says that a restore begins a step at this position: the effect under way
// makes progress as long as one page is read after another.
func (p *progress) page(e term.Restore, at, attended int64) {
	p.begin(e, attended)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.restore.IsZero() {
		p.restore, p.told = p.since, false
	}
	p.at, p.to = at, e.To.Position
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
		took = time.Since(p.restore)
	}
	p.restore, p.told = time.Time{}, false
	return took
}

// align says that the effect under way, which waits, looks at the cache, until
// begin is called again.
func (p *progress) align(attended int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing, p.limit = "comparing the cache", alignLimit
	p.since, p.began = time.Now(), attended
}

// queue says that the effect under way waits for its turn among the loops, to
// which no limit applies, until begin is called again.
func (p *progress) queue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = queueing
}

const queueing = "waiting for its turn to restore"

// fail says that an effect has failed, and reports whether that is news.
func (p *progress) fail(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing != nil {
		return false
	}
	p.failing, p.failed = err, time.Now()
	return true
}

// stalled returns what the loop is blocked in at this moment of the attended
// time, or nil.
func (p *progress) stalled(attended int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if over := time.Duration(attended - p.began); p.doing != "" && p.doing != queueing && over > p.limit+stallSlack {
		return fmt.Errorf("%w: %s takes %v already", term.ErrStalled, p.doing, over.Round(time.Second))
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
