package shop

import (
	"context"
	"errors"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/pack"
	"notsale/pkg/rejection"
	"notsale/pkg/wire"
)

// cacheLimits: a thousand questions take about a millisecond. Beyond 8,000 requests
// go on without asking: slower, never wrong.
var cacheLimits = pack.Limits{Items: 1000, Bytes: 1000, Queued: 8000, Patience: time.Second}

// cacheQuestion is a question to the cache.
type cacheQuestion struct {
	question rejection.Question
	answer   rejection.Answer // written before it is told
}

// ask returns what the cache knows of a request; where that is nothing, the
// engine answers. It waits for one round trip at most.
func (s *Shop) ask(q rejection.Question) rejection.Answer {
	one := &cacheQuestion{question: q}
	_ = s.cache.Do(one, 1, host.Forever)
	return one.answer
}

// askCache asks the cache many questions in one round trip.
func (s *Shop) askCache(ctx context.Context, asked []*cacheQuestion) error {
	questions := make([]rejection.Question, len(asked))
	for i := range asked {
		questions[i] = asked[i].question
	}
	answers, err := s.ports.Cache.Ask(ctx, questions)
	for i := range answers {
		asked[i].answer = answers[i]
	}
	return err
}

const (
	// lookPatience is how long a request waits for the ledger: without its answer the
	// request is published. One whose code was seen to be decided is not, and waits
	// for as long as for a decision.
	lookPatience = time.Second
	// lookPause is how long the ledger is left alone after it did not answer, so
	// that not every request waits for it.
	lookPause = time.Second
)

// decidedPatience is how long the ledger is asked about codes that were seen to be
// decided. A grant is confirmed first, which takes as long as a commit with the flush
// of a synchronous standby. So it is as long as a purchase waits, and a second for
// those that come while others are asked about, but no longer than the ledger lets
// any statement take: a session may have died silently.
func decidedPatience(wait time.Duration) time.Duration {
	return min(max(ReadTimeout, wait+lookPatience), ledger.DefaultPatience)
}

var errPaused = errors.New("edge: the ledger is left alone after an error")

// lookups ask the ledger what is final about many requests, with one statement at a
// time. Each kind of look-up has a queue of its own: some take a thousand times as
// long as others.
type lookups struct {
	shop   *Shop
	limits bool // whether users are at their limit, too
	queue  *pack.Queue[*ledgerQuestion]
	paused time.Time // end of the pause; only read uses it
}

// ledgerQuestion is a question to the ledger.
type ledgerQuestion struct {
	question ledger.Question
	verdict  ledger.Verdict // written before it is told
}

// newLookups: a thousand rows by their keys take some milliseconds; looking for
// users at their limit also reads whole sales. Beyond 8,000 requests none is asked about.
func (s *Shop) newLookups(limits bool, patience time.Duration) *lookups {
	l := &lookups{shop: s, limits: limits}
	l.queue = pack.New(s.host, pack.Limits{Items: 1000, Bytes: 1000, Queued: 8000, Patience: patience}, l.read)
	return l
}

func (l *lookups) read(ctx context.Context, asked []*ledgerQuestion) error {
	if l.shop.host.Now().Before(l.paused) {
		return errPaused
	}
	questions := make([]ledger.Question, len(asked))
	for i := range asked {
		questions[i] = asked[i].question
	}
	verdicts, err := l.shop.ports.Ledger.Verdicts(ctx, questions, l.limits)
	if err != nil {
		l.paused = l.shop.host.Now().Add(lookPause)
		return err
	}
	for i, one := range asked {
		one.verdict = verdicts[i]
	}
	return nil
}

// Verdict is what the ledger says of a request; the zero value: nothing.
type Verdict struct {
	Unread   bool              // it did not answer in time: the others are zero
	Recorded bool              // the code's decision is Reply
	Reply    wire.Reply        // when Recorded
	Reason   allocation.Reason // else why it can never be granted; Granted: it may be
}

// ask returns what the ledger says of a request.
func (l *lookups) ask(q ledger.Question, patience time.Duration) Verdict {
	one := &ledgerQuestion{question: q}
	if err := l.queue.Do(one, 1, patience); err != nil {
		l.shop.log.Debug("ledger not read", "error", err)
		return Verdict{Unread: true}
	}
	d := one.verdict.Decision
	if d == nil {
		return Verdict{Reason: one.verdict.Reason}
	}
	return Verdict{Recorded: true, Reply: wire.Reply{Code: d.Code, Position: d.Position, Reason: d.Reason, At: d.At}}
}
