package edge

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/pack"
	"notsale/pkg/wire"
	"notsale/services/edge/flow"
)

// lookPatience is how long a request waits for the ledger's word on it: without
// it the request goes the way that needs no ledger. One whose code was seen to be
// decided has none, and waits for as long as for a decision.
const lookPatience = time.Second

// recordsPause is how long the ledger is left alone after it did not answer, so
// that not every request waits for it.
const recordsPause = time.Second

// recordsLimits are those of each kind's queue: a thousand rows by their keys take
// some milliseconds; looking for users at their limit reads whole sales, too.
// Beyond 8,000 requests nobody asks.
func recordsLimits(patience time.Duration) pack.Limits {
	return pack.Limits{Items: 1000, Bytes: 1000, Queued: 8000, Patience: patience}
}

// decidedPatience is how long the ledger is asked of codes that were seen to be
// decided: a grant is confirmed first, which takes as long as a commit, a
// synchronous standby's flush included. So it is as long as somebody waits, and a
// second for those who come while others are asked about; but a session that died
// without a word holds them up no longer than the ledger lets any statement take.
func decidedPatience(wait time.Duration) time.Duration {
	return min(max(readTimeout, wait+lookPatience), ledger.DefaultPatience)
}

// LedgerConns is how many sessions with the ledger an edge needs: as any service,
// and one for codes that were seen to be decided, which may hold it for seconds.
const LedgerConns = ledger.DefaultConns + 1

var errPaused = errors.New("edge: the ledger is left alone after an error")

// records asks the ledger what is known for good of many requests.
type records struct {
	log     *slog.Logger
	keys    *lookups // rows by their keys
	limits  *lookups // and users at their limit
	decided *lookups // rows of codes that were seen to be decided
}

// lookups are questions of one kind, asked in one statement at a time. Those of
// another kind, which may cost or take a thousand times as much, do not hold them up.
type lookups struct {
	ledger *ledger.Ledger
	limits bool // whether users are at their limit, too
	queue  *pack.Queue[*inquest]
	paused time.Time // end of the pause; only the sender uses it
}

type inquest struct {
	question ledger.Question
	verdict  ledger.Verdict // written by the sender before its ticket is done
}

// newRecords returns the records; a purchase waits so long for its decision.
func newRecords(l *ledger.Ledger, log *slog.Logger, wait time.Duration) *records {
	return &records{
		log: log, keys: newLookups(l, false, readTimeout), limits: newLookups(l, true, readTimeout),
		decided: newLookups(l, false, decidedPatience(wait)),
	}
}

func newLookups(l *ledger.Ledger, limits bool, patience time.Duration) *lookups {
	one := &lookups{ledger: l, limits: limits}
	one.queue = pack.New(recordsLimits(patience), one.read)
	return one
}

func (l *lookups) read(ctx context.Context, asked []*inquest) error {
	if time.Now().Before(l.paused) {
		return errPaused
	}
	questions := make([]ledger.Question, len(asked))
	for i := range asked {
		questions[i] = asked[i].question
	}
	verdicts, err := l.ledger.Verdicts(ctx, questions, l.limits)
	if err != nil {
		l.paused = time.Now().Add(recordsPause)
		return err
	}
	for i, one := range asked {
		one.verdict = verdicts[i]
	}
	return nil
}

// ask returns what the ledger says of a request, by the look-ups of a kind; Unread
// where it does not answer in time.
func (r *records) ask(kind *lookups, q ledger.Question, patience time.Duration) flow.Verdict {
	one := &inquest{question: q}
	ticket, err := kind.queue.Add(one, 1)
	if err != nil {
		return flow.Verdict{Unread: true}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ticket.Done():
	case <-timer.C:
		return flow.Verdict{Unread: true}
	}
	if err := ticket.Err(); err != nil {
		r.log.Debug("ledger not read", "error", err)
		return flow.Verdict{Unread: true}
	}
	d := one.verdict.Decision
	if d == nil {
		return flow.Verdict{Reason: one.verdict.Reason}
	}
	return flow.Verdict{Recorded: true, Reply: wire.Reply{Code: d.Code, Position: d.Position, Reason: d.Reason, At: d.At}}
}

func (r *records) close(ctx context.Context) error {
	return errors.Join(r.keys.queue.Close(ctx), r.limits.queue.Close(ctx), r.decided.queue.Close(ctx))
}
