//go:build unix

package edge

import (
	"runtime"
	"sync"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/pack"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// Each sale had kept the memory of its largest messages, for as long as the edge
// ran.
func TestLanesOfOldSalesGiveTheirMemoryBack(t *testing.T) {
	e := newEdge(t, DefaultConfig())
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // a pool is emptied by the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	crowd := func(id sale.ID) {
		t.Helper()
		var tickets []*pack.Ticket
		w, err := e.waiters.add(code.ID{})
		if err != nil {
			t.Error(err)
			return
		}
		defer e.waiters.remove(w)
		for range 1000 {
			ticket, err := e.lane(id).requests.Add(allocation.Request{Number: w.number, User: "ann"}, wire.RequestSize)
			if err != nil {
				t.Error(err)
				return
			}
			tickets = append(tickets, ticket)
		}
		for _, ticket := range tickets {
			<-ticket.Done() // with an error: there is no stream
		}
	}
	crowd(1)
	before := heap()
	const sales, most = 60, 2 << 20 // of 60 times 150 kB or more
	var crowds sync.WaitGroup
	for id := range sale.ID(sales) {
		crowds.Go(func() { crowd(id + 2) })
	}
	crowds.Wait()
	if grown := heap() - before; grown > most {
		t.Errorf("%d sales have left %d bytes behind, want at most %d", sales, grown, most)
	}
}
