//go:build unix

package arena

import (
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// book is one sale's ledger, read row by row and past pkg/ledger.
type book struct {
	items     map[sale.ItemID]owner
	decisions []allocation.Decision // by position
	byCode    map[code.ID]*allocation.Decision
	commits   []commitRow // in the order in which they were made
	holes     []holeRow   // by generation
	cursor    allocation.Cursor
	epoch     int64
}

type owner struct {
	code     code.ID
	user     string
	position int64
}

type commitRow struct {
	generation int64
	sequence   uint64
	position   int64
	chain      allocation.Hash
	epoch      int64
	at         time.Time
}

type holeRow struct {
	generation int64
	matching   uint64
	sequence   uint64
	position   int64
	chain      allocation.Hash
	resume     uint64
	epoch      int64
	now        sale.Instant // engine time where the generation ended
}

// committed is when a position was committed, by the database's clock.
func (b *book) committed(position int64) time.Time {
	n := sort.Search(len(b.commits), func(i int) bool { return b.commits[i].position >= position })
	if n == len(b.commits) {
		return time.Time{}
	}
	return b.commits[n].at.Add(-clockSlack)
}

func (au *auditor) readBook() *book {
	au.t.Helper()
	b := &book{items: map[sale.ItemID]owner{}, byCode: map[code.ID]*allocation.Decision{}}
	id := []any{au.of.ID}
	au.each(`SELECT item_id, code_id, user_id, position FROM items WHERE sale_id = $1`, id, func(rows pgx.Rows) error {
		var (
			item int64
			o    owner
			c    [16]byte
		)
		err := rows.Scan(&item, &c, &o.user, &o.position)
		o.code = c
		b.items[sale.ItemID(item)] = o
		return err
	})
	au.each(`SELECT position, code_id, coalesce(item_id, 0), coalesce(user_id, ''), reason, decided_at
		FROM decisions WHERE sale_id = $1 ORDER BY position`, id, func(rows pgx.Rows) error {
		var (
			d    allocation.Decision
			c    *[16]byte
			item int64
			user string
			at   time.Time
		)
		err := rows.Scan(&d.Position, &c, &item, &user, &d.Reason, &at)
		if c != nil {
			d.Code = *c
		}
		d.Item, d.User, d.At = sale.ItemID(item), sale.UserID(user), sale.InstantOf(at)
		b.decisions = append(b.decisions, d)
		return err
	})
	for i := range b.decisions {
		if d := &b.decisions[i]; !d.Code.IsZero() {
			b.byCode[d.Code] = d
		}
	}
	au.readHistory(b)
	return b
}

func (au *auditor) readHistory(b *book) {
	au.t.Helper()
	id := []any{au.of.ID}
	au.each(`SELECT generation, sequence, position, chain, epoch, committed_at
		FROM commits WHERE sale_id = $1 ORDER BY generation, sequence`, id, func(rows pgx.Rows) error {
		var (
			c     commitRow
			chain []byte
		)
		err := rows.Scan(&c.generation, &c.sequence, &c.position, &chain, &c.epoch, &c.at)
		copy(c.chain[:], chain)
		b.commits = append(b.commits, c)
		return err
	})
	au.each(`SELECT generation, matching_sequence, cursor_sequence, cursor_position, cursor_chain, resume_sequence, epoch, cursor_time
		FROM holes WHERE sale_id = $1 ORDER BY generation`, id, func(rows pgx.Rows) error {
		var (
			h     holeRow
			chain []byte
			now   time.Time
		)
		err := rows.Scan(&h.generation, &h.matching, &h.sequence, &h.position, &chain, &h.resume, &h.epoch, &now)
		copy(h.chain[:], chain)
		h.now = sale.InstantOf(now)
		b.holes = append(b.holes, h)
		return err
	})
	au.each(`SELECT generation, sequence, position, sold, chain, pack_hash, pack_time, engine_time, epoch
		FROM cursors WHERE sale_id = $1`, id, func(rows pgx.Rows) error {
		var (
			chain, hash   []byte
			packTime, now time.Time
			c             = &b.cursor
		)
		err := rows.Scan(&c.Generation, &c.Sequence, &c.Position, &c.Sold, &chain, &hash, &packTime, &now, &b.epoch)
		copy(c.Chain[:], chain)
		copy(c.PackHash[:], hash)
		c.PackTime, c.Now = sale.InstantOf(packTime), sale.InstantOf(now)
		return err
	})
}
