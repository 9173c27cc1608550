//go:build unix

package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"notsale/loadtest/process"
	"notsale/pkg/client"
	"notsale/pkg/sale"
)

const (
	visitTime   = 5 * Patience // a shopper who has no final answer by then gives up, which fails the test
	requestTime = Patience     // longer than the edge's longest wait
	firstRetry  = 20 * time.Millisecond
	lastRetry   = 250 * time.Millisecond
)

// CrowdOptions say who comes. Zero values are 32 clients and one rival per item.
type CrowdOptions struct {
	Sale       sale.ID
	Clients    int
	Alone      bool          // no rivals: each item is wanted by one user
	First, Num int64         // items wanted; 0: all of the sale
	Pace       time.Duration // pause of each client between two visits
	Balanced   bool          // go only to edges that say that they are ready
	Seed       uint64
}

// Call is one request and its answer.
type Call struct {
	At, End time.Time
	Edge    *Process
	Status  int // 0: none came
	Waits   bool
	Body    string // of what is no checkout's code
	Err     error
}

// Visit is what one user went through for one item.
type Visit struct {
	User      string
	Item      int64
	Code      string
	Checkouts []Call
	Purchases []Call
	Lookups   []Call // GETs of the decision, which buy nothing
	Status    int    // the final answer's; 0: none
}

// Body is the answer that granted the item, if any did.
func (v *Visit) Body() string {
	for i := range v.Purchases {
		if v.Purchases[i].Status == http.StatusOK {
			return v.Purchases[i].Body
		}
	}
	return ""
}

// Crowd is shoppers at work.
type Crowd struct {
	Prefix string // of its users

	cluster *Cluster
	o       CrowdOptions
	users   int
	edges   []*Process
	pace    atomic.Int64
	tasks   chan task       // closed when all is done
	left    atomic.Int64    // tasks that wait or are under way
	stopped chan struct{}   // closed when nobody else may come
	stop    func()          // closes it
	ctx     context.Context // of every visit
	leave   func()          // ends it
	finals  atomic.Int64
	pushed  atomic.Int64
	done    chan struct{}

	mu     sync.Mutex // guards what follows
	visits []*Visit
	rng    *rand.Rand
}

type task struct {
	item int64
	user string
}

var crowds atomic.Int64

// Crowd lets shoppers in: every item is wanted by somebody until it is sold.
func (a *Cluster) Crowd(edges []*Process, o CrowdOptions) *Crowd {
	a.t.Helper()
	if o.Sale == 0 {
		o.Sale = 1
	}
	if o.Clients == 0 {
		o.Clients = 32
	}
	of := a.Sale(o.Sale).Sale
	if o.Num == 0 {
		o.First, o.Num = int64(of.FirstItem), int64(of.Stock)
	}
	c := &Crowd{
		Prefix: fmt.Sprintf("c%d-", crowds.Add(1)), cluster: a, o: o, edges: edges,
		users: int(o.Num)/of.UserLimit*3/2 + 10, stopped: make(chan struct{}), done: make(chan struct{}), rng: rand.New(rand.NewPCG(o.Seed, 0)), //nolint:gosec // repeatable, no secret
	}
	c.pace.Store(int64(o.Pace))
	c.ctx, c.leave = context.WithCancel(context.Background())
	c.stop = sync.OnceFunc(func() { close(c.stopped) })
	c.plan()
	c.open()
	return c
}

// plan puts the rivals for an item one behind the other, so that they compete.
func (c *Crowd) plan() {
	wanted := 2
	if c.o.Alone {
		wanted = 1
	}
	c.left.Store(c.o.Num * int64(wanted))
	c.tasks = make(chan task, c.left.Load())
	for _, n := range c.rng.Perm(int(c.o.Num)) {
		for range wanted {
			c.tasks <- task{c.o.First + int64(n), c.anybody()}
		}
	}
}

// anybody is a user of the crowd. The caller holds mu, or is alone.
func (c *Crowd) anybody() string { return c.Prefix + strconv.Itoa(c.rng.IntN(c.users)) }

func (c *Crowd) open() {
	var clients sync.WaitGroup
	for n := range c.o.Clients {
		clients.Go(func() { c.come(n) })
	}
	go func() {
		clients.Wait()
		c.leave()
		close(c.done)
	}()
	c.cluster.t.Cleanup(func() {
		c.stop()
		select {
		case <-c.done:
		case <-time.After(visitTime + requestTime):
		}
	})
}

// shopper goes to one edge, and to another when it gets no final answer.
type shopper struct {
	*Crowd

	shop *client.Client
	via  *http.Transport
	rng  *rand.Rand
	next int      // edge to go to
	at   *Process // where the last request went
}

func (c *Crowd) shopper(n int) *shopper {
	me := &shopper{
		Crowd: c, via: client.NewTransport(), next: n,
		rng: rand.New(rand.NewPCG(c.o.Seed, uint64(n)+1)), //nolint:gosec // repeatable, no secret
	}
	var err error
	me.shop, err = client.New(client.Config{Base: "http://shop", Timeout: requestTime, MinPause: firstRetry, MaxPause: lastRetry, Transport: me})
	if err != nil {
		c.cluster.t.Error(err)
	}
	return me
}

// RoundTrip sends a request to the next edge, of those that are ready if the crowd is
// balanced and any is.
func (s *shopper) RoundTrip(r *http.Request) (*http.Response, error) {
	for n := range s.edges {
		s.at = s.edges[(s.next+n)%len(s.edges)]
		if !s.o.Balanced || process.Ready(s.at.Address) {
			break
		}
	}
	r = r.Clone(r.Context())
	r.URL.Host = s.at.Address
	return s.via.RoundTrip(r)
}

func (c *Crowd) come(n int) {
	me := c.shopper(n)
	defer me.via.CloseIdleConnections()
	for {
		var pause time.Duration
		if pace := c.pace.Load(); pace > 0 {
			pause = time.Duration(pace)/2 + time.Duration(me.rng.Int64N(pace))
		}
		select {
		case <-c.stopped:
			return
		case <-time.After(pause):
		}
		select {
		case <-c.stopped:
			return
		case t, ok := <-c.tasks:
			if !ok {
				return
			}
			c.put(t, me.visit(t))
		}
	}
}

// put ends a task. An item that its user may not buy goes to another.
func (c *Crowd) put(t task, v *Visit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visits = append(c.visits, v)
	if v.Status == http.StatusTooManyRequests {
		c.tasks <- task{t.item, c.anybody()}
	} else if c.left.Add(-1) == 0 {
		close(c.tasks)
	}
	c.finals.Add(1)
}

// visit takes a user through checkout and purchase, and now and then asks once
// more for what is known already, by POST or by GET.
func (s *shopper) visit(t task) *Visit {
	ctx, cancel := context.WithTimeout(s.ctx, visitTime)
	defer cancel()
	v := &Visit{User: t.user, Item: t.item}
	last := s.persist(ctx, client.CheckoutTarget(t.user, t.item), &v.Checkouts)
	if last.Status != http.StatusOK {
		v.Status = last.Status
		return v
	}
	if v.Code = last.Code(); v.Code == "" {
		return v
	}
	target := client.PurchaseTarget(v.Code)
	last = s.persist(ctx, target, &v.Purchases)
	v.Status = last.Status
	if v.Status == 0 {
		return v
	}
	switch s.rng.IntN(10) {
	case 0:
		s.next++
		s.persist(ctx, target, &v.Purchases)
	case 1:
		s.next++
		a, err := s.shop.Do(ctx, http.MethodGet, target)
		v.Lookups = append(v.Lookups, s.call(&a, err))
	}
	return v
}

// persist posts until a final answer comes, at another edge each time. The zero
// Answer says that none came.
func (s *shopper) persist(ctx context.Context, target string, calls *[]Call) client.Answer {
	for a, err := range s.shop.Tries(ctx, http.MethodPost, target) {
		*calls = append(*calls, s.call(&a, err))
		if a.Final() {
			return a
		}
		if a.Status == http.StatusServiceUnavailable {
			s.pushed.Add(1)
		}
		s.next++
	}
	return client.Answer{}
}

func (s *shopper) call(a *client.Answer, err error) Call {
	return Call{
		At: a.Sent, End: a.Sent.Add(a.Took), Edge: s.at, Status: a.Status, Waits: a.RetryAfter() > 0, Body: string(a.Body), Err: err,
	}
}

// Pace sets the pause of each client between two visits; 0: none.
func (c *Crowd) Pace(d time.Duration) { c.pace.Store(int64(d)) }

// Finals is how many visits have ended.
func (c *Crowd) Finals() int64 { return c.finals.Load() }

// Pushbacks is how many answers 503 have come.
func (c *Crowd) Pushbacks() int64 { return c.pushed.Load() }

// Rate waits for n more visits to end, and returns how many did per second.
func (c *Crowd) Rate(n int64) float64 {
	c.cluster.t.Helper()
	from, started := c.Finals(), time.Now()
	c.cluster.Eventually(fmt.Sprintf("%d more visits", n), func() bool { return c.Finals() >= from+n })
	return float64(c.Finals()-from) / time.Since(started).Seconds()
}

// Finish waits until every item is sold and everybody has an answer.
func (c *Crowd) Finish() []*Visit {
	c.cluster.t.Helper()
	c.Pace(0)
	return c.wait()
}

// Stop lets nobody else in, and waits until everybody has an answer.
func (c *Crowd) Stop() []*Visit {
	c.cluster.t.Helper()
	c.stop()
	return c.wait()
}

func (c *Crowd) wait() []*Visit {
	c.cluster.t.Helper()
	select {
	case <-c.done:
	case <-time.After(visitTime + requestTime):
		c.cluster.t.Fatalf("the crowd did not end: %d visits", c.Finals())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.visits
}

// Abandon ends the crowd at once: whoever waits gets no answer.
func (c *Crowd) Abandon() []*Visit {
	c.cluster.t.Helper()
	c.leave()
	return c.Stop()
}

// AwaitSold waits until that many items of the sale are sold.
func (c *Crowd) AwaitSold(n int64) {
	c.cluster.t.Helper()
	c.cluster.Eventually(fmt.Sprintf("%d items are sold", n), func() bool { return c.cluster.Sold(c.o.Sale) >= n })
}

// Statuses counts the answers of purchases, or of checkouts.
func Statuses(visits []*Visit, purchases bool) map[int]int {
	counts := map[int]int{}
	for _, v := range visits {
		calls := v.Checkouts
		if purchases {
			calls = v.Purchases
		}
		for i := range calls {
			counts[calls[i].Status]++
		}
	}
	return counts
}

// AskAgain posts the code of every n-th visit once more, at each edge in turn,
// so that the audit can compare the answers. It returns how many were asked.
func (a *Cluster) AskAgain(visits []*Visit, edges []*Process, n int) int {
	a.t.Helper()
	c := &Crowd{cluster: a, edges: edges}
	me := c.shopper(0)
	defer me.via.CloseIdleConnections()
	asked := 0
	for i := 0; i < len(visits); i += n {
		if v := visits[i]; v.Code != "" {
			me.next++
			asked++
			ctx, cancel := context.WithTimeout(context.Background(), Patience)
			me.persist(ctx, client.PurchaseTarget(v.Code), &v.Purchases)
			cancel()
		}
	}
	return asked
}
