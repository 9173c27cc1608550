package edge

import (
	"context"
	"sync"

	"notsale/pkg/code"
	"notsale/services/edge/flow"
)

// flights are the purchases under way, one per code: whoever posts a code that
// is under way waits for the same answer. Safe for any number of callers.
type flights struct {
	limit int // callers at once

	mu      sync.Mutex
	callers int                 // guarded by mu
	open    map[code.ID]*flight // guarded by mu
}

// followers may wait for a code's purchase beside the first who posted it: more
// than impatient clients send, and a small part of all that may wait.
const followers = 64

// flight is a code's purchase under way.
type flight struct {
	done    chan struct{}
	outcome outcome // written by the first caller before done is closed
	callers int     // guarded by the flights' mu
}

// outcome is how a purchase ended.
type outcome struct {
	end flow.Action
	flow.Purchase
}

func newFlights(limit int) *flights { return &flights{limit: limit, open: map[code.ID]*flight{}} }

// take returns how the code's purchase ends, which fly carries out for all that
// ask meanwhile, in the first one's goroutine and to its end. The others leave
// when their ctx ends. ErrCrowded: as many wait as may, for this code or in all.
func (f *flights) take(ctx context.Context, id code.ID, fly func() outcome) (outcome, error) {
	one, first, err := f.board(id)
	if err != nil {
		return outcome{}, err
	}
	defer f.leave(one)
	if first {
		defer f.land(id, one)
		one.outcome = outcome{end: flow.Unqueued, Purchase: flow.Purchase{Err: errNotQueued}} // should fly panic
		one.outcome = fly()
		return one.outcome, nil
	}
	select {
	case <-one.done:
		return one.outcome, nil
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	}
}

func (f *flights) board(id code.ID) (one *flight, first bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, under := f.open[id]
	if f.callers >= f.limit || under && one.callers > followers {
		return nil, false, flow.ErrCrowded
	}
	if !under {
		one = &flight{done: make(chan struct{})}
		f.open[id] = one
	}
	f.callers++
	one.callers++
	return one, !under, nil
}

func (f *flights) leave(one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.callers--
	one.callers--
}

func (f *flights) land(id code.ID, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, id)
	close(one.done)
}
