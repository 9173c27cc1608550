package shop

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"notsale/pkg/ledger"
	"notsale/pkg/pack"
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
	over   map[sale.ID]bool // sold out, whatever else
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
		byID: make(map[sale.ID]*sale.Sale, len(d.entries)), byUUID: make(map[sale.UUID]*sale.Sale, len(d.entries)), closed: map[sale.ID]bool{}, over: map[sale.ID]bool{},
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
		if e.State.After(sale.Open) {
			s.over[of.ID] = true
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

// soldOut reports whether the sale was listed as sold out: a hint, which the
// ledger may not confirm after a restore.
func (d *directory) soldOut(id sale.ID) bool { return d.snapshot.Load().over[id] }

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

// miss is what the directory does not have: a sale by its UUID, else by an item.
type miss struct {
	uuid sale.UUID
	item sale.ItemID
}

func (m miss) byCode() bool { return m.uuid != sale.UUID{} }

func (d *directory) find(m miss) *sale.Sale {
	if m.byCode() {
		return d.uuid(m.uuid)
	}
	return d.ofItem(m.item)
}

// missLimits: a miss is a look into the ledger, whose answer serves all. A flood
// of unknown ids delays only itself: one statement at a time.
var missLimits = pack.Limits{Items: 1000, Bytes: 1000, Queued: 8000, Patience: ReadTimeout}

// Find returns the sale that has an item, or nil. An error says that the ledger
// could not be asked for one that the directory does not have.
func (s *Shop) Find(item sale.ItemID) (*sale.Sale, error) { return s.find(miss{item: item}) }

// find looks a sale up, and after a miss reads it from the ledger. Misses are
// coalesced: one statement at a time, which begins after all that it answers were
// asked. Misses by item, which anybody can cause, have a queue of their own and do
// not delay those by a code. nil without error: the ledger knows no such sale.
func (s *Shop) find(m miss) (*sale.Sale, error) {
	if of := s.sales.find(m); of != nil {
		return of, nil
	}
	queue := s.items
	if m.byCode() {
		queue = s.codes
	}
	if err := queue.Do(m, 1, ReadTimeout); err != nil {
		return nil, err
	}
	return s.sales.find(m), nil
}

// readMissed reads the sales that were missed from the ledger into the directory.
func (s *Shop) readMissed(ctx context.Context, missed []miss) error {
	var uuids []sale.UUID
	var items []sale.ItemID
	for _, m := range missed {
		if m.byCode() {
			uuids = append(uuids, m.uuid)
		} else {
			items = append(items, m.item)
		}
	}
	rows, err := s.ports.Ledger.SalesOf(ctx, uuids, items)
	if err != nil {
		return err
	}
	s.sales.learn(rows)
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

// Upcoming reports whether an item that no sale has may be of the sale that opens
// next, if that has as many as the newest.
func (s *Shop) Upcoming(item sale.ItemID) bool {
	next, stock := sale.ItemID(1), sale.MaxStock
	if byItem := s.sales.snapshot.Load().byItem; len(byItem) > 0 {
		newest := byItem[len(byItem)-1]
		next, stock = newest.LastItem()+1, newest.Stock
	}
	return item >= next && item < next+sale.ItemID(stock)
}

// InUse returns the newest sale, and the newest that still take requests and were
// bought from here: at most so many.
func (s *Shop) InUse(most int) (ids []sale.ID) {
	now := s.sales.snapshot.Load()
	for i := len(now.byItem) - 1; i >= 0 && len(ids) < most; i-- {
		id := now.byItem[i].ID
		if _, used := s.publishers.Load(id); (used || len(ids) == 0) && !now.closed[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
