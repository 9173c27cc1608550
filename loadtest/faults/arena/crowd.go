//go:build unix

package arena

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"notsale/loadtest/hammer/shopper"
	"notsale/pkg/sale"
)

const (
	visitTime   = 5 * Patience // a shopper who has no final answer by then gives up, which fails the test
	requestTime = Patience     // longer than the edge's longest wait
	firstRetry  = 20 * time.Millisecond
	lastRetry   = 250 * time.Millisecond
	lookAround  = 50 * time.Millisecond // between two looks of the balancer
)

// CrowdOptions say who comes. Zero values are 32 clients and one rival per item.
type CrowdOptions struct {
	Sale       sale.ID
	Clients    int
	Alone      bool          // nobody wants an item that another wants too
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
	Status    int // the final answer's; 0: none
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

	arena   *Arena
	o       CrowdOptions
	users   int
	edges   []*Process
	ready   []atomic.Bool // of edges; written by the balancer
	pace    atomic.Int64
	stopped atomic.Bool
	left    atomic.Bool
	finals  atomic.Int64
	pushed  atomic.Int64
	done    chan struct{}

	mu     sync.Mutex // guards what follows
	tasks  []task
	busy   int
	visits []*Visit
	rng    *rand.Rand
}

type task struct {
	item int64
	user string
}

var crowds atomic.Int64

// Crowd lets shoppers in: every item is wanted by somebody until it is sold.
func (a *Arena) Crowd(edges []*Process, o CrowdOptions) *Crowd {
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
		Prefix: fmt.Sprintf("c%d-", crowds.Add(1)), arena: a, o: o, edges: edges, ready: make([]atomic.Bool, len(edges)),
		users: int(o.Num)/of.UserLimit*3/2 + 10, done: make(chan struct{}), rng: rand.New(rand.NewPCG(o.Seed, 0)), //nolint:gosec // repeatable, no secret
	}
	c.pace.Store(int64(o.Pace))
	c.plan()
	c.open()
	return c
}

// plan puts rivals one behind the other, so that they meet.
func (c *Crowd) plan() {
	for _, n := range c.rng.Perm(int(c.o.Num)) {
		item := c.o.First + int64(n)
		c.tasks = append(c.tasks, task{item, c.anybody()})
		if !c.o.Alone {
			c.tasks = append(c.tasks, task{item, c.anybody()})
		}
	}
}

// anybody is a user of the crowd. The caller holds mu, or is alone.
func (c *Crowd) anybody() string { return c.Prefix + strconv.Itoa(c.rng.IntN(c.users)) }

func (c *Crowd) open() {
	var clients sync.WaitGroup
	for n := range c.o.Clients {
		clients.Go(func() { c.shop(n) })
	}
	balance, end := context.WithCancel(context.Background())
	var balancer sync.WaitGroup
	balancer.Go(func() { c.balance(balance) })
	go func() {
		clients.Wait()
		end()
		balancer.Wait()
		close(c.done)
	}()
	c.arena.t.Cleanup(func() {
		c.stopped.Store(true)
		select {
		case <-c.done:
		case <-time.After(visitTime + requestTime):
		}
	})
}

// balance asks the edges whether they are ready, as a balancer does.
func (c *Crowd) balance(ctx context.Context) {
	for {
		for i, e := range c.edges {
			ready := true
			if c.o.Balanced {
				status, _ := ask(looker, e.Address, "/readyz")
				ready = status == http.StatusOK
			}
			c.ready[i].Store(ready)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookAround):
		}
	}
}

// client is one shopper: a connection to each edge.
type client struct {
	*Crowd

	conns []*shopper.Conn
	rng   *rand.Rand
	next  int // edge to go to
}

func (c *Crowd) shop(n int) {
	me := &client{Crowd: c, next: n, rng: rand.New(rand.NewPCG(c.o.Seed, uint64(n)+1))} //nolint:gosec // repeatable, no secret
	for _, e := range c.edges {
		conn, err := shopper.NewConn("http://"+e.Address, requestTime)
		if err != nil {
			c.arena.t.Error(err)
			return
		}
		defer conn.Close()
		me.conns = append(me.conns, conn)
	}
	for {
		t, ok := c.take()
		if !ok {
			return
		}
		v := me.visit(t)
		c.put(t, v)
		if pace := c.pace.Load(); pace > 0 && !c.stopped.Load() {
			time.Sleep(time.Duration(pace)/2 + time.Duration(me.rng.Int64N(pace)))
		}
	}
}

// take waits for a task; false: all is done, or stopped.
func (c *Crowd) take() (task, bool) {
	for {
		c.mu.Lock()
		if c.stopped.Load() || len(c.tasks) == 0 && c.busy == 0 {
			c.mu.Unlock()
			return task{}, false
		}
		if len(c.tasks) > 0 {
			t := c.tasks[0]
			c.tasks = c.tasks[1:]
			c.busy++
			c.mu.Unlock()
			return t, true
		}
		c.mu.Unlock()
		time.Sleep(pollPause) // somebody may be at the limit, and the item comes back
	}
}

func (c *Crowd) put(t task, v *Visit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
	c.visits = append(c.visits, v)
	if v.Status == http.StatusTooManyRequests {
		c.tasks = append(c.tasks, task{t.item, c.anybody()})
	}
	c.finals.Add(1)
}

// visit takes a user through checkout and purchase, and now and then asks once
// more for what is known already.
func (c *client) visit(t task) *Visit {
	v := &Visit{User: t.user, Item: t.item}
	deadline := time.Now().Add(visitTime)
	target := "/checkout?user_id=" + url.QueryEscape(t.user) + "&id=" + strconv.FormatInt(t.item, 10)
	last := c.persist(target, deadline, &v.Checkouts)
	if last.Status != http.StatusOK {
		v.Status = last.Status
		return v
	}
	if v.Code = codeIn(last.Body); v.Code == "" {
		return v
	}
	target = "/purchase?code=" + url.QueryEscape(v.Code)
	v.Status = c.persist(target, deadline, &v.Purchases).Status
	if v.Status != 0 && c.rng.IntN(10) == 0 {
		c.next++
		c.persist(target, deadline, &v.Purchases)
	}
	return v
}

// persist posts until a final answer comes, at another edge each time.
func (c *client) persist(target string, deadline time.Time, calls *[]Call) Call {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		call := c.post(target)
		*calls = append(*calls, call)
		if call.Status != 0 && call.Status != http.StatusAccepted && call.Status != http.StatusServiceUnavailable {
			return call
		}
		if c.left.Load() || time.Now().After(deadline) {
			return Call{}
		}
		c.next++
		time.Sleep(pause/2 + time.Duration(c.rng.Int64N(int64(pause))))
	}
}

func (c *client) post(target string) Call {
	n := c.next % len(c.conns)
	for range c.conns { // the next that is ready, if any is
		if c.ready[n].Load() {
			break
		}
		n = (n + 1) % len(c.conns)
	}
	call := Call{At: time.Now(), Edge: c.edges[n]}
	answer, err := c.conns[n].Do(context.Background(), http.MethodPost, target)
	call.End, call.Status, call.Err, call.Waits = time.Now(), answer.Status, err, answer.RetryAfter > 0
	if err != nil {
		call.Status = 0
		return call
	}
	if call.Status == http.StatusServiceUnavailable {
		c.pushed.Add(1)
	}
	call.Body = string(answer.Body)
	return call
}

func codeIn(body string) string {
	_, rest, _ := bytes.Cut([]byte(body), []byte(`"code":"`))
	text, _, found := bytes.Cut(rest, []byte{'"'})
	if !found {
		return ""
	}
	return string(text)
}

// Pace sets the pause of each client between two visits; 0: none.
func (c *Crowd) Pace(d time.Duration) { c.pace.Store(int64(d)) }

// Finals is how many visits have ended.
func (c *Crowd) Finals() int64 { return c.finals.Load() }

// Pushbacks is how many answers 503 have come.
func (c *Crowd) Pushbacks() int64 { return c.pushed.Load() }

// Rate waits for n more visits to end, and returns how many did per second.
func (c *Crowd) Rate(n int64) float64 {
	c.arena.t.Helper()
	from, started := c.Finals(), time.Now()
	c.arena.Eventually(fmt.Sprintf("%d more visits", n), func() bool { return c.Finals() >= from+n })
	return float64(c.Finals()-from) / time.Since(started).Seconds()
}

// Finish waits until every item is sold and everybody has an answer.
func (c *Crowd) Finish() []*Visit {
	c.arena.t.Helper()
	c.Pace(0)
	return c.wait()
}

// Stop lets nobody else in, and waits until everybody has an answer.
func (c *Crowd) Stop() []*Visit {
	c.arena.t.Helper()
	c.stopped.Store(true)
	return c.wait()
}

func (c *Crowd) wait() []*Visit {
	c.arena.t.Helper()
	select {
	case <-c.done:
	case <-time.After(visitTime + requestTime):
		c.arena.t.Fatalf("the crowd did not end: %d visits", c.Finals())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.visits
}

// Abandon ends the crowd at once: whoever has no answer goes without.
func (c *Crowd) Abandon() []*Visit {
	c.arena.t.Helper()
	c.left.Store(true)
	return c.Stop()
}

// AwaitSold waits until that many items of the sale are sold.
func (c *Crowd) AwaitSold(n int64) {
	c.arena.t.Helper()
	c.arena.Eventually(fmt.Sprintf("%d items are sold", n), func() bool { return c.arena.Sold(c.o.Sale) >= n })
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
func (a *Arena) AskAgain(visits []*Visit, edges []*Process, n int) int {
	a.t.Helper()
	c := &client{Crowd: &Crowd{arena: a, edges: edges, ready: make([]atomic.Bool, len(edges))}, rng: rand.New(rand.NewPCG(1, 1))} //nolint:gosec // as above
	for i, e := range edges {
		c.ready[i].Store(true)
		conn, err := shopper.NewConn("http://"+e.Address, requestTime)
		if err != nil {
			a.t.Fatal(err)
		}
		defer conn.Close()
		c.conns = append(c.conns, conn)
	}
	asked := 0
	for i := 0; i < len(visits); i += n {
		if v := visits[i]; v.Code != "" {
			c.next++
			asked++
			c.persist("/purchase?code="+url.QueryEscape(v.Code), time.Now().Add(Patience), &v.Purchases)
		}
	}
	return asked
}
