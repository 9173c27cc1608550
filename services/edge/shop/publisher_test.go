//go:build unix

package shop

import (
	"runtime"
	"sync"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/servicetest"
)

// Each sale had kept the memory of its largest messages, for as long as the edge
// ran.
func TestOldSalesGiveTheirMemoryBack(t *testing.T) {
	s := newShop(t, servicetest.New(t), DefaultConfig())
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // a pool is emptied by the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	crowd := func(id sale.ID) {
		t.Helper()
		inbox := s.host.Inbox()
		number, err := s.waiters.add(code.ID{}, inbox)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.waiters.remove(number)
		for range 1000 {
			if _, err := s.publisher(id).requests.Add(allocation.Request{Number: number, User: "ann"}, wire.RequestSize, inbox); err != nil {
				t.Error(err)
				return
			}
		}
		for range 1000 {
			inbox.Take(t.Context(), host.Forever) // an error: there is no stream
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
