package edge

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// directory is this edge's copy of the directory of sales. Readers take a
// snapshot without locking; writers replace it.
type directory struct {
	snapshot atomic.Pointer[snapshot]
	mu       sync.Mutex             // serialises writers
	entries  map[sale.ID]wire.Entry // guarded by mu
}

type snapshot struct {
	byID   map[sale.ID]*sale.Sale
	byUUID map[sale.UUID]*sale.Sale
	byItem []*sale.Sale // by first item
	closed map[sale.ID]bool
}

func newDirectory() *directory {
	d := &directory{entries: map[sale.ID]wire.Entry{}}
	d.publish()
	return d
}

// put adds or replaces an entry, and reports whether it changes anything;
// readers see it after publish. A sale's state never goes back, whoever was
// slow.
func (d *directory) put(e wire.Entry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	had, known := d.entries[e.Sale.ID]
	if known && had.Sale.UUID == e.Sale.UUID && !e.State.After(had.State) {
		return false
	}
	d.entries[e.Sale.ID] = e
	return true
}

// publish shows the entries to readers.
func (d *directory) publish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &snapshot{
		byID: make(map[sale.ID]*sale.Sale, len(d.entries)), byUUID: make(map[sale.UUID]*sale.Sale, len(d.entries)), closed: map[sale.ID]bool{},
	}
	for e := range maps.Values(d.entries) {
		if e.State == sale.Preparing {
			continue
		}
		of := e.Sale
		s.byID[of.ID], s.byUUID[of.UUID] = &of, &of
		s.byItem = append(s.byItem, &of)
		if e.State.Closed() {
			s.closed[of.ID] = true
		}
	}
	slices.SortFunc(s.byItem, func(a, b *sale.Sale) int { return cmp.Compare(a.FirstItem, b.FirstItem) })
	d.snapshot.Store(s)
}

func (d *directory) sale(id sale.ID) *sale.Sale   { return d.snapshot.Load().byID[id] }
func (d *directory) uuid(id sale.UUID) *sale.Sale { return d.snapshot.Load().byUUID[id] }
func (d *directory) size() int                    { return len(d.snapshot.Load().byItem) }

// closed reports whether the sale's streams take nothing more.
func (d *directory) closed(id sale.ID) bool { return d.snapshot.Load().closed[id] }

// ofItem returns the sale that has the item, or nil.
func (d *directory) ofItem(item sale.ItemID) *sale.Sale {
	byItem := d.snapshot.Load().byItem
	i, found := slices.BinarySearchFunc(byItem, item, func(s *sale.Sale, item sale.ItemID) int { return cmp.Compare(s.FirstItem, item) })
	if !found {
		i--
	}
	if i < 0 || !byItem[i].Contains(item) {
		return nil
	}
	return byItem[i]
}

// refreshSales is how many of the newest sales a miss reads from the ledger;
// older ones have long been in the directory.
const refreshSales = 50

// find looks something up, and after a miss once more with what the ledger
// says. Misses are coalesced: one read at a time, which began after all of
// those that it answers had asked. nil without error: there is no such thing.
func (e *Edge) find(ctx context.Context, lookup func(*directory) *sale.Sale) (*sale.Sale, error) {
	if s := lookup(e.directory); s != nil {
		return s, nil
	}
	ticket, err := e.misses.Add(struct{}{}, 1)
	if err != nil {
		return nil, err
	}
	select {
	case <-ticket.Done():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return lookup(e.directory), ticket.Err()
}

// refresh reads the newest sales from the ledger into the directory.
func (e *Edge) refresh(ctx context.Context, _ []struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := e.ledger.Sales(ctx, 0, refreshSales)
	if err != nil {
		return err
	}
	e.directory.learn(rows)
	return nil
}

func (d *directory) learn(rows []ledger.SaleRow) {
	fresh := false
	for _, row := range rows {
		if row.State != sale.Preparing {
			fresh = d.put(wire.Entry{Sale: row.Sale, State: row.State}) || fresh
		}
	}
	if fresh {
		d.publish()
	}
}
