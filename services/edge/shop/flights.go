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
	callers int                      // guarded by mu
	open    map[code.ID][]host.Inbox // of those who wait for the first; guarded by mu
}

// followers may wait for a code's purchase beside the first who posted it: more
// than impatient clients send, and a small part of all that may wait.
const followers = 64

func newFlights(h host.Host, limit int) *flights {
	return &flights{host: h, limit: limit, open: map[code.ID][]host.Inbox{}}
}

// take returns how the code's purchase ends, which fly carries out for all that
// ask meanwhile, as the first one's and to its end. The others leave
// when their ctx ends. ErrCrowded: as many wait as may, for this code or in all.
func (f *flights) take(ctx context.Context, id code.ID, fly func() Outcome) (Outcome, error) {
	inbox, err := f.board(id)
	if err != nil {
		return Outcome{}, err
	}
	defer f.leave()
	if inbox != nil {
		if out, ok := inbox.Take(ctx, host.Forever); ok {
			return out.(Outcome), nil //nolint:forcetypeassert // land tells it, nobody else
		}
		return Outcome{}, ctx.Err()
	}
	out := Outcome{End: Unqueued, Err: pack.ErrLate} // should fly panic
	defer func() { f.land(id, out) }()
	out = fly()
	return out, nil
}

// board returns where the code's outcome will be told, or nil to the first.
func (f *flights) board(id code.ID) (host.Inbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting, under := f.open[id]
	if f.callers >= f.limit || len(waiting) >= followers {
		return nil, ErrCrowded
	}
	f.callers++
	if !under {
		f.open[id] = nil
		return nil, nil //nolint:nilnil // the first
	}
	inbox := f.host.Inbox()
	f.open[id] = append(waiting, inbox)
	return inbox, nil
}

func (f *flights) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.callers--
}

func (f *flights) land(id code.ID, out Outcome) {
	f.mu.Lock()
	waiting := f.open[id]
	delete(f.open, id)
	f.mu.Unlock()
	for _, inbox := range waiting {
		inbox.Put(out)
	}
}
