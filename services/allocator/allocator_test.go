//go:build unix

package allocator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/allocator"
	"notsale/services/servicetest"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

const edgeName = "edge-test"

// desk stands where an edge does: it publishes packs and collects replies.
type desk struct {
	*servicetest.Stage

	t       *testing.T
	stream  *stream.Client
	ledger  *ledger.Ledger
	numbers uint64

	looking sync.Mutex // held by receive

	mu      sync.Mutex
	replies map[uint64]wire.Reply // by request number; guarded by mu
	early   []string              // replies that came before their commit; guarded by mu
}

func newDesk(t *testing.T, opts ...backendstest.Option) *desk {
	t.Helper()
	stage := servicetest.New(t, opts...)
	d := &desk{Stage: stage, t: t, stream: stage.Stream("desk"), ledger: stage.Ledger("desk"), replies: map[uint64]wire.Reply{}}
	stop, err := d.stream.Replies(edgeName, d.receive)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return d
}

// receive notes what is told, and looks at once whether it is in the ledger.
func (d *desk) receive(data []byte) {
	d.looking.Lock()
	defer d.looking.Unlock()
	replies, err := wire.DecodeReplies(data)
	d.mu.Lock()
	for _, r := range replies {
		d.replies[r.Number] = r
	}
	d.mu.Unlock()
	var early []string
	if err != nil {
		early = append(early, err.Error())
	}
	for _, r := range replies {
		if r.Code.IsZero() {
			continue
		}
		if stored, err := d.stored(r.Code); err != nil || stored.Position != r.Position || stored.Reason != r.Reason || stored.At != r.At {
			early = append(early, fmt.Sprintf("told %+v, the ledger says %+v, %v", r, stored, err))
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.early = append(d.early, early...)
}

// stored is what the ledger says of a code, also when sessions of a killed server
// have to be found out first.
func (d *desk) stored(id code.ID) (stored allocation.Decision, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), servicetest.Patience)
	defer cancel()
	for range 10 {
		if _, stored, err = d.ledger.DecisionOf(ctx, id); err == nil || errors.Is(err, ledger.ErrNotFound) {
			break
		}
	}
	return stored, err
}

// allocate runs an allocator, until stop.
func (d *desk) allocate(name string, change func(*allocator.Config)) (stop func(), reg *prometheus.Registry) {
	d.t.Helper()
	cfg := allocator.DefaultConfig()
	cfg.LeaseTTL = servicetest.Patience // a lease passes on when it is given back, not when the machine is busy
	if change != nil {
		change(&cfg)
	}
	reg = prometheus.NewRegistry()
	a, err := allocator.New(cfg, d.Ledger(name), d.Stream(name), d.Cache(name), d.Log, reg)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.Run(a.Run), reg
}

// request makes a request of its own number; the code is given by a small id.
func (d *desk) request(id uint16, item sale.ItemID, user string) allocation.Request {
	d.numbers++
	return allocation.Request{
		Number: d.numbers, Code: code.ID{byte(id >> 8), byte(id), 15: 1}, Item: item, User: sale.UserID(user),
		Expires: sale.InstantOf(time.Now().Add(time.Hour)),
	}
}

func (d *desk) publish(id sale.ID, data []byte) {
	d.t.Helper()
	if err := d.stream.PublishPack(d.t.Context(), id, data); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) pack(id sale.ID, requests ...allocation.Request) {
	d.t.Helper()
	d.publish(id, wire.AppendPack(nil, edgeName, requests))
}

// awaitReplies waits for the replies to all of the requests, and until the ledger
// was asked for them.
func (d *desk) awaitReplies(requests ...allocation.Request) []wire.Reply {
	d.t.Helper()
	list := make([]wire.Reply, len(requests))
	servicetest.Eventually(d.t, "all requests are replied to", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		for i, r := range requests {
			reply, ok := d.replies[r.Number]
			if !ok {
				return false
			}
			list[i] = reply
		}
		return true
	})
	d.looking.Lock() // until the last of them was looked for, too
	defer d.looking.Unlock()
	return list
}

// awaitDecided waits until the stream is decided up to its end.
func (d *desk) awaitDecided(id sale.ID) {
	d.t.Helper()
	info, err := d.stream.Info(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	servicetest.Eventually(d.t, "the stream is decided to its end", func() bool {
		pos, err := d.ledger.Cursor(d.t.Context(), id)
		return err == nil && pos.Cursor.Sequence >= info.Last
	})
}

// replayed is what an independent replay of a sale's stream comes to.
type replayed struct {
	cursor    allocation.Cursor
	decisions []allocation.Decision
	chains    map[uint64]allocation.Hash // after each message
}

func (d *desk) replay(id sale.ID) replayed {
	d.t.Helper()
	info, err := d.stream.Info(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	var engine *allocation.Engine
	r := replayed{chains: map[uint64]allocation.Hash{}}
	for sequence := uint64(1); sequence <= info.Last; sequence++ {
		m, err := d.stream.Message(d.t.Context(), id, sequence)
		if err != nil {
			d.t.Fatal(err)
		}
		if sequence == 1 {
			of, err := wire.DecodeOpening(m.Data)
			if err != nil {
				d.t.Fatal(err)
			}
			engine = allocation.New(of, m.Hash(), m.Time)
			continue
		}
		p, err := wire.ReadPack(sequence, m.Time, m.Data)
		if err != nil {
			d.t.Fatal(err)
		}
		b := engine.Begin() // a batch per message: batches may end anywhere
		engine.Apply(p, b)
		r.decisions = append(r.decisions, b.Decisions...)
		r.chains[sequence] = engine.Cursor().Chain
	}
	r.cursor = engine.Cursor()
	return r
}

// check compares the ledger with the replay, and that nothing was told early.
func (d *desk) check(id sale.ID) {
	d.t.Helper()
	d.awaitDecided(id)
	want := d.replay(id)
	pos, err := d.ledger.Cursor(d.t.Context(), id)
	if err != nil || pos.Cursor != want.cursor {
		d.t.Errorf("the ledger's cursor of sale %d is\n%+v (%v), the replay's\n%+v", id, pos.Cursor, err, want.cursor)
	}
	if got := d.decisions(id); !reflect.DeepEqual(got, want.decisions) {
		d.t.Errorf("the ledger's decisions of sale %d are\n%+v, the replay's\n%+v", id, got, want.decisions)
	}
	d.checkCommits(id, want)
	if n := d.Count(`SELECT count(*) FROM items WHERE sale_id = $1`, int64(id)); n != int64(want.cursor.Sold) {
		d.t.Errorf("%d items have an owner, the replay sold %d", n, want.cursor.Sold)
	}
	d.looking.Lock()
	defer d.looking.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range d.early {
		d.t.Error(text)
	}
}

func (d *desk) decisions(id sale.ID) []allocation.Decision {
	d.t.Helper()
	rows, err := d.DB.Query(d.t.Context(), `SELECT position, code_id, COALESCE(item_id, 0), COALESCE(user_id, ''), reason, decided_at FROM decisions WHERE sale_id = $1 ORDER BY position`, int64(id))
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	var list []allocation.Decision
	for rows.Next() {
		var one allocation.Decision
		var id *[16]byte
		var at time.Time
		if err := rows.Scan(&one.Position, &id, &one.Item, &one.User, &one.Reason, &at); err != nil {
			d.t.Fatal(err)
		}
		if id != nil {
			one.Code = *id
		}
		one.At = sale.InstantOf(at)
		list = append(list, one)
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return list
}

// checkCommits follows the commits from the opening to the cursor.
func (d *desk) checkCommits(id sale.ID, want replayed) {
	d.t.Helper()
	rows, err := d.DB.Query(d.t.Context(), `SELECT sequence, position, chain, epoch FROM commits WHERE sale_id = $1 ORDER BY sequence`, int64(id))
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	var sequence, epoch, position int64
	for rows.Next() {
		var nextEpoch, nextPosition int64
		var chain []byte
		if err := rows.Scan(&sequence, &nextPosition, &chain, &nextEpoch); err != nil {
			d.t.Fatal(err)
		}
		expected := want.chains[uint64(sequence)]
		if !bytes.Equal(chain, expected[:]) || nextEpoch < epoch || nextPosition <= position {
			d.t.Errorf("the commit at sequence %d, position %d, epoch %d has chain %x, the replay %x", sequence, nextPosition, nextEpoch, chain, expected)
		}
		epoch, position = nextEpoch, nextPosition
	}
	if uint64(sequence) != want.cursor.Sequence || position != want.cursor.Position {
		d.t.Errorf("the last commit is at sequence %d, position %d, the cursor at %+v", sequence, position, want.cursor)
	}
}

func reasons(replies []wire.Reply) []allocation.Reason {
	list := make([]allocation.Reason, len(replies))
	for i := range replies {
		list[i] = replies[i].Reason
	}
	return list
}

func expectReasons(t *testing.T, replies []wire.Reply, want ...allocation.Reason) {
	t.Helper()
	if got := reasons(replies); !reflect.DeepEqual(got, want) {
		t.Errorf("decided %v, want %v", got, want)
	}
}

func TestDecidesInOrder(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(3, 2)
	expired := d.request(9, 2, "dan")
	expired.Expires = sale.InstantOf(time.Now().Add(-time.Minute))
	requests := []allocation.Request{
		d.request(1, 1, "ann"),
		d.request(2, 1, "bob"), // taken
		d.request(3, 2, "ann"),
		d.request(4, 3, "ann"), // over the limit of 2
		expired,
		d.request(5, 9, "bob"), // no item of this sale
		d.request(1, 1, "ann"), // the first code again: the same decision
		d.request(6, 3, "bob"), // the last item
		d.request(7, 3, "eve"), // too late
	}
	d.pack(of.ID, requests[0])
	d.pack(of.ID, requests[1:4]...)
	d.allocate("allocator-1", nil)
	d.pack(of.ID, requests[4:8]...)
	d.pack(of.ID, requests[8])
	got := d.awaitReplies(requests...)
	expectReasons(t, got, allocation.Granted, allocation.ItemTaken, allocation.Granted, allocation.LimitReached, allocation.CodeExpired,
		allocation.Malformed, allocation.Granted, allocation.Granted, allocation.SoldOut)
	for i, want := range []int64{1, 2, 3, 4, 5, 6, 1, 8, 9} { // the repeat took place 7
		if got[i].Position != want {
			t.Errorf("request %d has position %d, want %d", i, got[i].Position, want)
		}
	}
	d.check(of.ID)
	if n := d.Count(`SELECT count(*) FROM sales WHERE state = 'sold_out' AND sold_out_at IS NOT NULL`); n != 1 {
		t.Error("the sale is not marked as sold out")
	}
}

// While the commit waits, nobody is told: neither the edge nor the cache.
func TestNothingIsToldBeforeTheCommit(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	cache := d.Cache("looker")
	taken := func() bool {
		t.Helper()
		answer, err := cache.Ask(t.Context(), []rejection.Question{{Sale: of.UUID, Item: 2, User: "eve"}})
		return err == nil && answer[0].Reason == allocation.ItemTaken
	}
	d.allocate("allocator-1", nil)
	first, second := d.request(1, 1, "ann"), d.request(2, 2, "bob")
	d.pack(of.ID, first)
	d.awaitReplies(first) // its term has begun
	tx, err := d.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM cursors WHERE sale_id = $1 FOR UPDATE`, int64(of.ID)); err != nil {
		t.Fatal(err)
	}
	d.pack(of.ID, second)
	servicetest.Eventually(t, "the commit waits", func() bool {
		return d.Count(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'allocator-1' AND wait_event_type = 'Lock' AND datname = current_database()`) == 1
	})
	for range 20 { // long enough for whatever is under way
		if err := d.stream.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Millisecond)
		d.mu.Lock()
		early, told := d.replies[second.Number]
		d.mu.Unlock()
		if told || taken() {
			t.Fatalf("told before the commit: reply %+v, cache %v", early, taken())
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectReasons(t, d.awaitReplies(second), allocation.Granted)
	d.cached(of, 2)
	d.check(of.ID)
}

// Many packs and small batches: the chain does not depend on either.
func TestBatchesEndAnywhere(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const stock = 200
	of := d.OpenSale(stock, 10)
	d.allocate("allocator-1", func(c *allocator.Config) { c.BatchRequests = 3 })
	var all []allocation.Request
	for n := uint16(0); n < 3*stock; {
		var requests []allocation.Request
		for range 1 + n%7 {
			n++
			requests = append(requests, d.request(n, sale.ItemID(1+n*31%stock), servicetest.User(int(n%40))))
		}
		d.pack(of.ID, requests...)
		all = append(all, requests...)
	}
	d.awaitReplies(all...)
	d.check(of.ID)
	if n := d.Count(`SELECT count(*) FROM commits`); n < 2 {
		t.Errorf("%d commits", n)
	}
}

func TestUnreadableMessagesTakeAPositionAndHarmNobody(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	first, second, third := d.request(1, 1, "ann"), d.request(2, 2, "ann"), d.request(3, 3, "ann")
	d.pack(of.ID, first)
	garbage := [][]byte{
		[]byte("no JSON at all \x00\xff"),
		{},
		[]byte(`{}`), []byte(`null`), []byte(`{"v":1,"kind":"pack","edge":"e","requests":[]}`),
		[]byte(`{"v":1,"kind":"opening"}`), bytes.Repeat([]byte("["), 100_000),
	}
	for _, data := range garbage {
		d.publish(of.ID, data)
	}
	d.allocate("allocator-1", nil)
	d.pack(of.ID, second)
	bad := d.request(4, 4, "no user\x00")
	none := d.request(5, 0, "ann")
	d.publish(of.ID, wire.AppendPack(nil, edgeName, []allocation.Request{third, none}))
	d.publish(of.ID, []byte(fmt.Sprintf(`{"v":1,"kind":"pack","edge":%q,"requests":[{"n":%d,"code":"%s","item":4,"user":"no user\u0000","expires":1}]}`, edgeName, bad.Number, bad.Code)))
	got := d.awaitReplies(first, second, third, none, bad)
	expectReasons(t, got, allocation.Granted, allocation.Granted, allocation.Granted, allocation.Malformed, allocation.Malformed)
	next := int64(len(garbage))
	for i, want := range []int64{1, next + 2, next + 3, next + 4, next + 5} {
		if got[i].Position != want {
			t.Errorf("request %d has position %d, want %d", i, got[i].Position, want)
		}
	}
	d.check(of.ID)
	if n := d.Count(`SELECT count(*) FROM decisions WHERE code_id IS NULL AND item_id IS NULL AND user_id IS NULL AND reason = $1`, int(allocation.Malformed)); n != next+1 {
		t.Errorf("%d unreadable requests are recorded, want %d", n, next+1)
	}
}

// A pack of a version that this program does not know is never decided, nor is
// what stands behind it; the sale is left to a newer allocator.
func TestNewerVersionIsNotDecided(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of, other := d.OpenSale(20, 10), d.OpenSale(20, 10)
	_, reg := d.allocate("allocator-1", nil)
	before, behind, elsewhere := d.request(1, 1, "ann"), d.request(2, 2, "ann"), d.request(3, 21, "ann")
	d.pack(of.ID, before)
	d.publish(of.ID, []byte(`{"v":2,"kind":"pack","edge":"edge-test","requests":[]}`))
	d.pack(of.ID, behind)
	d.pack(other.ID, elsewhere)
	expectReasons(t, d.awaitReplies(before, elsewhere), allocation.Granted, allocation.Granted)
	servicetest.Eventually(t, "the alarm is raised", func() bool { return counter(t, reg, "notsale_allocator_alarms_total") > 0 })
	servicetest.Eventually(t, "the lease is given back", func() bool {
		return d.Count(`SELECT count(*) FROM leases WHERE sale_id = $1 AND holder = ''`, int64(of.ID)) == 1
	})
	if n := d.Count(`SELECT count(*) FROM decisions WHERE sale_id = $1`, int64(of.ID)); n != 1 {
		t.Errorf("%d requests are decided, want only the one before", n)
	}
	if pos, err := d.ledger.Cursor(t.Context(), of.ID); err != nil || pos.Cursor.Sequence != 2 {
		t.Errorf("the cursor stands at %d, %v, want 2", pos.Cursor.Sequence, err)
	}
	more := d.request(4, 22, "ann")
	d.pack(other.ID, more) // other sales go on
	expectReasons(t, d.awaitReplies(more), allocation.Granted)
}

// counter sums a counter over its labels.
func counter(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// An allocator that comes after another goes on with the same chain, and knows
// every decision.
func TestRestartGoesOnWithTheChain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(50, 10)
	var granted []allocation.Request
	id := uint16(0)
	for term := range 4 {
		stop, _ := d.allocate(fmt.Sprintf("allocator-%d", term), nil)
		var requests []allocation.Request
		for range 5 {
			id++
			requests = append(requests, d.request(id, sale.ItemID(id), servicetest.User(int(id))))
		}
		for _, r := range granted { // every earlier code again, under a new number
			d.numbers++
			r.Number = d.numbers
			requests = append(requests, r)
		}
		d.pack(of.ID, requests...)
		for i, reply := range d.awaitReplies(requests...) {
			if reply.Reason != allocation.Granted || i >= 5 && reply.Position > int64(reply.Number) {
				t.Errorf("term %d: %+v", term, reply)
			}
		}
		granted = append(granted, requests[:5]...)
		d.check(of.ID)
		stop()
		// Asked while nobody decides: the next one will.
		id++
		between := d.request(id, sale.ItemID(id), "between")
		d.pack(of.ID, between)
		granted = append(granted, between)
	}
	d.allocate("allocator-last", nil)
	d.check(of.ID)
	if n := d.Count(`SELECT epoch FROM leases WHERE sale_id = $1`, int64(of.ID)); n != 5 {
		t.Errorf("epoch %d after five terms", n)
	}
	if n := d.Count(`SELECT count(*) FROM items`); n != int64(len(granted)) {
		t.Errorf("%d items are sold, want %d", n, len(granted))
	}
}

// A dead allocator's sale goes to another, once the lease has expired, and not
// before.
func TestExpiredLeaseIsTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	const life = 1500 * time.Millisecond
	var expires, committed time.Time
	err := d.DB.QueryRow(t.Context(), `INSERT INTO allocators (name, expires_at) VALUES ('dead', clock_timestamp() + $1::interval) RETURNING expires_at`, life).Scan(&expires)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.DB.Exec(t.Context(), `INSERT INTO leases (sale_id, holder, epoch) VALUES ($1, 'dead', 7)`, int64(of.ID)); err != nil {
		t.Fatal(err)
	}
	d.allocate("allocator-1", nil)
	r := d.request(1, 1, "ann")
	d.pack(of.ID, r)
	expectReasons(t, d.awaitReplies(r), allocation.Granted)
	if err := d.DB.QueryRow(t.Context(), `SELECT min(committed_at) FROM commits WHERE epoch = 8`).Scan(&committed); err != nil || committed.Before(expires) {
		t.Errorf("the lease was good until %v, another decided at %v, %v", expires, committed, err)
	}
	if n := d.Count(`SELECT epoch FROM leases WHERE sale_id = $1 AND holder = 'allocator-1'`, int64(of.ID)); n != 8 {
		t.Errorf("epoch %d, want 8", n)
	}
	d.check(of.ID)
}

// Two allocators side by side: each sale is decided by one of them at a time,
// and when one stops the other takes over all.
func TestTwoAllocators(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	sales := make([]sale.Sale, 4)
	for i := range sales {
		sales[i] = d.OpenSale(100, 10)
	}
	stop, _ := d.allocate("allocator-1", nil)
	d.allocate("allocator-2", nil)
	id := uint16(0)
	round := func() {
		t.Helper()
		var all []allocation.Request
		for _, of := range sales {
			for range 10 {
				id++
				r := d.request(id, of.FirstItem+sale.ItemID(id%100), servicetest.User(int(id)))
				d.pack(of.ID, r)
				all = append(all, r)
			}
		}
		d.awaitReplies(all...)
	}
	round()
	stop()
	round()
	for _, of := range sales {
		d.check(of.ID)
	}
	if n := d.Count(`SELECT count(*) FROM leases WHERE holder = 'allocator-2'`); n != int64(len(sales)) {
		t.Errorf("%d sales are with the allocator that is left, want %d", n, len(sales))
	}
}

// With the database away nothing is told; afterwards all is decided.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t, backendstest.WithOwnPostgres)
	of := d.OpenSale(20, 10)
	d.allocate("allocator-1", nil)
	before, during := d.request(1, 1, "ann"), d.request(2, 2, "ann")
	d.pack(of.ID, before)
	d.awaitReplies(before)
	if err := d.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	d.pack(of.ID, during)
	if err := d.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectReasons(t, d.awaitReplies(during), allocation.Granted)
	d.DB.Reset()
	d.check(of.ID)
}

// With NATS away and back, the allocator reads on where it was.
func TestNATSAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	d.allocate("allocator-1", nil)
	for n := range uint16(3) {
		r := d.request(n+1, sale.ItemID(n)+1, "ann")
		servicetest.Eventually(t, "the request is published", func() bool {
			return d.stream.PublishPack(t.Context(), of.ID, wire.AppendPack(nil, edgeName, []allocation.Request{r})) == nil
		})
		servicetest.Eventually(t, "the request is decided", func() bool {
			_, _, err := d.ledger.DecisionOf(t.Context(), r.Code)
			return err == nil
		})
		d.StopNATS()
		d.StartNATS()
	}
	servicetest.Eventually(t, "the desk is connected", func() bool {
		_, err := d.stream.Info(t.Context(), of.ID)
		return err == nil
	})
	d.check(of.ID)
}
