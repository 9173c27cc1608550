package edge

import (
	"context"
	"errors"
	"sync"

	"notsale/services/edge/shop"
)

// Limits of what anybody can make the edge read by GET, from the few sessions
// that it shares with the look-ups of purchases and checkouts.
const (
	// pageReads at once leave sessions for the look-ups by code and by item.
	pageReads = 2
	// pageLine may wait for one of those: by a healthy ledger all are served
	// within a second.
	pageLine = 256
)

var errManyReads = errors.New("edge: too many pages are read at once")

// reads are what pages read from the ledger: once for all that ask the same
// before it is read, and few at a time. Safe for any number of callers.
type reads struct {
	line    chan struct{} // holds whoever waits or reads
	reading chan struct{}

	mu    sync.Mutex
	ahead map[string]*pageRead // guarded by mu: those that have not begun, by key
}

// pageRead is one read, for all that joined it before it began.
type pageRead struct {
	done  chan struct{}
	value any   // written before done is closed, as is err
	err   error // errManyReads: its turn did not come
}

func newReads() *reads {
	return &reads{
		line: make(chan struct{}, pageReads+pageLine), reading: make(chan struct{}, pageReads), ahead: map[string]*pageRead{},
	}
}

// shared reads once for all callers that ask for the same key before the read
// begins, so that nobody gets what was true only before he asked. errManyReads: its
// turn did not come.
func shared[T any](r *reads, key string, read func(context.Context) (T, error)) (T, error) {
	one, first := r.join(key)
	if first {
		r.lead(key, one, func(ctx context.Context) (any, error) { return read(ctx) })
	}
	<-one.done
	if one.err != nil {
		var zero T
		return zero, one.err
	}
	return one.value.(T), nil //nolint:forcetypeassert // each key has one type
}

func (r *reads) join(key string) (one *pageRead, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, found := r.ahead[key]
	if !found {
		one = &pageRead{done: make(chan struct{}), err: errManyReads}
		r.ahead[key] = one
	}
	return one, !found
}

// lead reads for all that join until its turn comes.
func (r *reads) lead(key string, one *pageRead, read func(context.Context) (any, error)) {
	defer close(one.done)
	ctx, cancel := context.WithTimeout(context.Background(), shop.ReadTimeout)
	defer cancel()
	leave, err := r.turn(ctx)
	r.mu.Lock()
	delete(r.ahead, key)
	r.mu.Unlock()
	if err != nil {
		return
	}
	defer leave()
	one.value, one.err = read(ctx)
}

// turn waits for a turn to read, which lasts until leave is called.
func (r *reads) turn(ctx context.Context) (leave func(), err error) {
	select {
	case r.line <- struct{}{}:
	default:
		return nil, errManyReads
	}
	select {
	case r.reading <- struct{}{}:
		return func() { <-r.reading; <-r.line }, nil
	case <-ctx.Done():
		<-r.line
		return nil, errManyReads
	}
}
