package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// ErrMoved says that the cursor of a stream of attempts is not where its reader
// left it: another recorder has moved it, or the database was restored.
var ErrMoved = errors.New("ledger: the cursor of these attempts is elsewhere")

// RecordedAttempt is an attempt with the edge that sent it.
type RecordedAttempt struct {
	wire.Attempt
	Edge string
}

// AttemptCursor is how far a stream of attempts is recorded.
type AttemptCursor struct {
	Sequence uint64 // of the last recorded message; 0: none
	Time     sale.Instant
	Hash     allocation.Hash // SHA-256 of its bytes
	Created  sale.Instant    // of the stream
}

// AttemptCursor returns how far a stream of attempts is recorded, or ErrNotFound
// if nothing of it is.
func (l *Ledger) AttemptCursor(ctx context.Context, s wire.AttemptStream) (_ AttemptCursor, err error) {
	defer during(&err, "reading how far %s is recorded", s)
	return one(ctx, l.pool, "attempt_cursor", params{"sale": s.Sale, "part": s.Part}, func(row pgx.CollectableRow) (c AttemptCursor, err error) {
		return c, into{
			"sequence": &c.Sequence, "message_time": (*instant)(&c.Time), "message_hash": (*hash)(&c.Hash), "stream_created": (*instant)(&c.Created),
		}.scan(row)
	})
}

// RecordAttempts stores the attempts between two places of a stream, and moves its
// cursor from one to the other. An attempt that is there already stays as it is. It
// returns how many were new. ErrMoved: the cursor is not at from, and nothing was
// written.
func (l *Ledger) RecordAttempts(ctx context.Context, s wire.AttemptStream, from, to AttemptCursor, attempts []RecordedAttempt) (stored int64, err error) {
	n := len(attempts)
	defer during(&err, "storing %d checkout attempts of %s", n, s)
	ids, codes := make([][16]byte, n), make([][16]byte, n)
	sales := make([]int64, n)
	at, expires := make([]time.Time, n), make([]time.Time, n)
	users, items, outcomes, edges := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range attempts {
		a := &attempts[i]
		ids[i], codes[i], sales[i] = a.ID, a.Code, int64(a.Sale)
		at[i], expires[i] = a.At.Time(), a.Expires.Time()
		users[i], items[i], outcomes[i], edges[i] = a.User, a.Item, string(a.Outcome), a.Edge
	}
	result, err := one(ctx, l.pool, "record_attempts", params{
		"sale": s.Sale, "part": s.Part, "stream_created": from.Created.Time(),
		"from_sequence": from.Sequence, "from_time": from.Time.Time(), "from_hash": from.Hash[:],
		"to_sequence": to.Sequence, "to_time": to.Time.Time(), "to_hash": to.Hash[:],
		"ids": ids, "sales": sales, "times": at, "users": users, "items": items, "outcomes": outcomes,
		"codes": codes, "expires": expires, "edges": edges,
	}, pgx.RowToStructByName[struct {
		Moved  bool
		Stored int64
	}])
	if err == nil && !result.Moved {
		err = ErrMoved
	}
	return result.Stored, err
}

// ReopenAttempts records that a stream of attempts is no longer the one that was
// recorded, and moves its cursor before the first message of the stream that was
// created at created. ErrMoved: the cursor is not at from, and nothing was written.
func (l *Ledger) ReopenAttempts(ctx context.Context, s wire.AttemptStream, from AttemptCursor, created sale.Instant) (err error) {
	defer during(&err, "reading %s again", s)
	var none AttemptCursor
	reopened, err := done(ctx, l.pool, "reopen_attempts", params{
		"sale": s.Sale, "part": s.Part, "sequence": from.Sequence, "time": from.Time.Time(), "hash": from.Hash[:],
		"stream_created": from.Created.Time(), "none_time": none.Time.Time(), "none_hash": none.Hash[:], "new_created": created.Time(),
	})
	if err == nil && !reopened {
		err = ErrMoved
	}
	return err
}

// Recorded says how far the streams that may hold attempts of one sale are
// recorded.
type Recorded struct {
	Own   uint64         // last recorded message of the sale's own stream
	Parts map[int]uint64 // the same of each part of the streams of no sale
	Gone  sale.Instant   // the messages of attempts up to then may be gone; 0: none is
}

// Has reports whether a message, by its wire.AttemptStream.Number, is recorded.
func (r *Recorded) Has(number uint64) bool {
	part, sequence := wire.Numbered(number)
	if part < 0 {
		return sequence <= r.Own
	}
	return sequence <= r.Parts[part]
}

// Recorded returns how far the streams that may hold attempts of a sale (0: of no
// sale) are recorded.
func (l *Ledger) Recorded(ctx context.Context, id sale.ID) (r Recorded, err error) {
	defer during(&err, "reading how far attempts are recorded")
	streams, err := all(ctx, l.pool, "recorded_attempts", params{"sale": id}, pgx.RowToStructByName[struct {
		Sale     sale.ID `db:"sale_id"`
		Part     int
		Sequence uint64
		Gone     *time.Time
	}])
	r.Parts = map[int]uint64{}
	for _, s := range streams {
		if s.Sale == 0 {
			r.Parts[s.Part] = max(r.Parts[s.Part], s.Sequence)
		} else {
			r.Own = max(r.Own, s.Sequence)
		}
		if s.Gone != nil {
			r.Gone = max(r.Gone, sale.InstantOf(*s.Gone))
		}
	}
	return r, err
}

// UnsoldPart is a part of the streams of no sale, as the ledger knows it.
type UnsoldPart struct {
	Part    int
	Removed bool
}

// UnsoldParts returns the recorded parts of the streams of no sale, in order.
func (l *Ledger) UnsoldParts(ctx context.Context) (_ []UnsoldPart, err error) {
	defer during(&err, "reading the streams of no sale")
	return all(ctx, l.pool, "unsold_parts", nil, pgx.RowToStructByName[UnsoldPart])
}

// clockTolerance is how much the database's clock and NATS's may differ where both
// decide what is old.
const clockTolerance = time.Minute

// RemoveUnsold records that a part of the streams of no sale is removed, and reports
// whether it may be: it must be recorded to its end, and its last message and the
// recording must both be older than horizon. last is its last message, created is
// when the stream was, now is the time by NATS's clock, which must agree with the
// database's.
func (l *Ledger) RemoveUnsold(ctx context.Context, part int, last uint64, created, now time.Time, horizon time.Duration) (removed bool, err error) {
	defer during(&err, "removing part %d of the streams of no sale", part)
	return done(ctx, l.pool, "remove_attempts", params{
		"part": part, "sequence": last, "stream_created": sale.InstantOf(created).Time(), "horizon": horizon,
		"nats_clock": now, "tolerance": clockTolerance,
	})
}

// ForgetMark deletes what recorders of earlier versions left of a sale's stream
// of attempts.
func (l *Ledger) ForgetMark(ctx context.Context, id sale.ID) (err error) {
	defer during(&err, "deleting an old mark")
	_, err = done(ctx, l.pool, "forget_mark", params{"sale": id})
	return err
}
