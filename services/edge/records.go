package edge

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/pack"
	"notsale/pkg/wire"
	"notsale/services/edge/flow"
)

// lookPatience is how long a request waits for the ledger's word on it: without
// it the request goes the way that needs no ledger.
const lookPatience = time.Second

// recordsPause is how long the ledger is left alone after it did not answer, so
// that not every request waits for it.
const recordsPause = time.Second

// Limits of the two queues: a thousand rows by their keys take some
// milliseconds; looking for users at their limit reads whole sales, too.
// Beyond 8,000 requests nobody asks.
var recordsLimits = pack.Limits{Items: 1000, Bytes: 1000, Queued: 8000, Patience: time.Millisecond}

var errPaused = errors.New("edge: the ledger is left alone after an error")

// records asks the ledger what is known for good of many requests, in one
// statement at a time.
type records struct {
	log    *slog.Logger
	keys   *pack.Queue[*inquest] // rows by their keys
	limits *pack.Queue[*inquest] // and users at their limit
	paused atomic.Int64          // end of the pause, Unix nanoseconds; any sender writes
}

type inquest struct {
	question ledger.Question
	verdict  ledger.Verdict // written by the sender before its ticket is done
}

func newRecords(l *ledger.Ledger, log *slog.Logger) *records {
	r := &records{log: log}
	queue := func(limits bool) *pack.Queue[*inquest] {
		return pack.New(recordsLimits, func(ctx context.Context, asked []*inquest) error {
			return r.read(ctx, l, asked, limits)
		})
	}
	r.keys, r.limits = queue(false), queue(true)
	return r
}

func (r *records) read(ctx context.Context, l *ledger.Ledger, asked []*inquest, limits bool) error {
	if time.Now().UnixNano() < r.paused.Load() {
		return errPaused
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	questions := make([]ledger.Question, len(asked))
	for i := range asked {
		questions[i] = asked[i].question
	}
	verdicts, err := l.Verdicts(ctx, questions, limits)
	if err != nil {
		r.paused.Store(time.Now().Add(recordsPause).UnixNano())
		return err
	}
	for i := range verdicts {
		asked[i].verdict = verdicts[i]
	}
	return nil
}

// ask returns what the ledger says of a request, nothing where it does not
// answer in time. limits: whether its user is at the limit, too.
func (r *records) ask(q ledger.Question, limits bool) flow.Verdict {
	queue := r.keys
	if limits {
		queue = r.limits
	}
	one := &inquest{question: q}
	ticket, err := queue.Add(one, 1)
	if err != nil {
		return flow.Verdict{}
	}
	patience := time.NewTimer(lookPatience)
	defer patience.Stop()
	select {
	case <-ticket.Done():
	case <-patience.C:
		return flow.Verdict{}
	}
	if err := ticket.Err(); err != nil {
		r.log.Debug("ledger not read", "error", err)
		return flow.Verdict{}
	}
	d := one.verdict.Decision
	if d == nil {
		return flow.Verdict{Reason: one.verdict.Reason}
	}
	return flow.Verdict{Recorded: true, Reply: wire.Reply{Code: d.Code, Position: d.Position, Reason: d.Reason, At: d.At}}
}

func (r *records) close(ctx context.Context) error {
	return errors.Join(r.keys.Close(ctx), r.limits.Close(ctx))
}
