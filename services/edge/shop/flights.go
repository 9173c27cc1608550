package shop

import (
	"context"
	"sync"

	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/pack"
)

// flights are the purchases under way, one per code: whoever posts a code that
// is under way waits for the same outcome. Safe for any number of callers.
type flights struct {
	host  host.Host
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
	done    host.Event
	outcome Outcome // written by the first caller before done
	callers int     // guarded by the flights' mu
}

func newFlights(h host.Host, limit int) *flights {
	return &flights{host: h, limit: limit, open: map[code.ID]*flight{}}
}

// do returns how the code's purchase ends. The first caller carries it out, to its
// end, for all that ask meanwhile; the others leave when their ctx ends.
// ErrCrowded: too many wait, for this code or in all.
func (f *flights) do(ctx context.Context, id code.ID, buy func() Outcome) (Outcome, error) {
	one, first, err := f.join(id)
	if err != nil {
		return Outcome{}, err
	}
	defer f.leave(one)
	if first {
		defer f.finish(id, one)
		one.outcome = Outcome{End: Unqueued, Err: pack.ErrLate} // should buy panic
		one.outcome = buy()
	} else if !one.done.Wait(ctx, host.Forever) {
		return Outcome{}, ctx.Err()
	}
	return one.outcome, nil
}

func (f *flights) join(id code.ID) (one *flight, first bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, under := f.open[id]
	if f.callers >= f.limit || under && one.callers > followers {
		return nil, false, ErrCrowded
	}
	if !under {
		one = &flight{done: f.host.Event()}
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

func (f *flights) finish(id code.ID, one *flight) {
	f.mu.Lock()
	delete(f.open, id)
	f.mu.Unlock()
	one.done.Set()
}
