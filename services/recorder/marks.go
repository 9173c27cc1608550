package recorder

import (
	"context"
	"errors"
	"sync"
	"time"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// markEvery is how often the ledger learns how far streams are recorded. What
// lies behind a mark is read once more when a recorder starts.
const markEvery = time.Second

// errRestored says that the ledger has gone back behind a mark, or may have.
var errRestored = errors.New("recorder: the database server was started anew or restored, reading the latest attempts again")

// marks is how far each stream that this recorder reads is recorded for
// certain, as the ledger was told.
type marks struct {
	mu   sync.Mutex
	open map[sale.ID]*mark // guarded by mu, and so is what it points to
}

type mark struct {
	reader   *stream.AttemptReader
	restart  context.CancelCauseFunc // of the stream's loop
	started  time.Time               // the database server, when the loop began
	sequence uint64
	behind   bool // something was stored since
}

func (m *marks) put(id sale.ID, one *mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[id] = one
}

func (m *marks) drop(id sale.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, id)
}

// touch says that something was stored of the stream.
func (m *marks) touch(id sale.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.open[id]; one != nil {
		one.behind = true
	}
}

// keepMarks moves the marks on until ctx ends, and restarts the loop of a
// stream whose mark has gone back: the ledger was restored.
func (r *Recorder) keepMarks(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(markEvery):
		}
		read, cancel := context.WithTimeout(ctx, storeTimeout)
		recorded, started, err := r.ledger.AllRecorded(read)
		cancel()
		if err != nil {
			continue // the marks stay behind
		}
		r.marks.mu.Lock()
		behind := map[sale.ID]*mark{}
		for id, one := range r.marks.open {
			if recorded[id] < one.sequence || !started.Equal(one.started) {
				one.restart(errRestored)
			} else if one.behind {
				one.behind = false
				behind[id] = one
			}
		}
		r.marks.mu.Unlock()
		for id, one := range behind {
			if err := r.moveMark(ctx, id, one); err != nil {
				one.restart(err) // whatever happened meanwhile is found by reading again
			}
		}
	}
}

func (r *Recorder) moveMark(ctx context.Context, id sale.ID, one *mark) error {
	floor, _, err := one.reader.Floor(ctx)
	if err != nil {
		return err
	}
	write, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := r.ledger.MarkRecorded(write, id, floor, one.started); err != nil {
		return err
	}
	r.marks.mu.Lock()
	defer r.marks.mu.Unlock()
	one.sequence = max(one.sequence, floor)
	return nil
}

// again stores what may have been acknowledged and lies beyond the ledger's mark: a
// database that was restored from a backup has lost it, and no message of it
// would come again by itself. It returns the mark.
func (r *Recorder) again(ctx context.Context, id sale.ID, reader *stream.AttemptReader) (*mark, error) {
	_, delivered, err := reader.Floor(ctx)
	if err != nil {
		return nil, err
	}
	one := &mark{reader: reader}
	read, cancel := context.WithTimeout(ctx, storeTimeout)
	one.sequence, one.started, err = r.ledger.Recorded(read, id)
	cancel()
	if err != nil || one.sequence >= delivered {
		return one, err
	}
	var b batch
	for m, err := range r.stream.AttemptMessages(ctx, id, one.sequence+1, delivered) {
		if err != nil {
			return nil, err
		}
		if edge, attempts, err := wire.DecodeAttempts(m.Data); err == nil {
			b.take(edge, attempts)
		}
		if len(b.attempts) < r.cfg.BatchAttempts && m.Sequence < delivered {
			continue
		}
		if _, err := r.insert(ctx, b.attempts); err != nil {
			return nil, err
		}
		b = batch{}
	}
	return one, r.moveMark(ctx, id, one)
}
