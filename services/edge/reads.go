package edge

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"
)

// readTimeout bounds what a page reads from the ledger.
const readTimeout = 3 * time.Second

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

// reads are what pages read from the ledger: once for all that ask the same at
// once, and few at a time. Safe for any number of callers.
type reads struct {
	same    singleflight.Group
	line    chan struct{} // holds whoever waits or reads
	reading chan struct{}
}

func newReads() *reads {
	return &reads{line: make(chan struct{}, pageReads+pageLine), reading: make(chan struct{}, pageReads)}
}

// shared returns what read returns, in its turn, to all that ask for the same
// key at once. errManyReads: its turn did not come.
func shared[T any](r *reads, key string, read func(context.Context) (T, error)) (T, error) {
	value, err, _ := r.same.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		leave, err := r.turn(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		return read(ctx)
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return value.(T), nil //nolint:forcetypeassert // each key has one type
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
