package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/catalogue"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/auditor"
	"notsale/services/auditor/report"
)

// opened is when the sales of these tests open; the first request comes a
// second later.
var opened = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// story plays a sale to a collector, as an audit does.
type story struct {
	*report.Collector

	of     sale.Sale
	engine *allocation.Engine
}

func newStory(stock, limit int) *story {
	s := &story{Collector: &report.Collector{}, of: sale.Sale{
		Installation: sale.UUID{1}, UUID: sale.UUID{2}, ID: 7, OpensAt: opened, Stock: stock, UserLimit: limit, FirstItem: 11, Seed: 5, Rules: sale.RulesVersion,
	}}
	s.open(sale.SoldOut)
	return s
}

func (s *story) open(state sale.State) {
	o, snapshot := openingOf(s.of)
	snapshot.Sale.State = state
	s.engine = allocation.New(s.of, o.Message.Hash(), o.Message.Time)
	s.Opened(o, snapshot)
}

func openingOf(s sale.Sale) (*stream.Opening, *ledger.Snapshot) {
	return &stream.Opening{Sale: s, Message: stream.Message{Sequence: 1, Time: sale.InstantOf(opened), Data: []byte("opening")}},
		&ledger.Snapshot{Sale: ledger.SaleRow{Sale: s, State: sale.SoldOut}}
}

// at is a time after the first request.
func at(after time.Duration) time.Time { return opened.Add(time.Second + after) }

// ask makes a request, by code number.
func ask(number uint16, item sale.ItemID, user string) allocation.Request {
	id := code.ID{byte(number >> 8), byte(number), 1}
	return allocation.Request{Number: 1, Code: id, Item: item, User: sale.UserID(user), Expires: sale.InstantOf(opened.Add(time.Hour))}
}

func (s *story) pack(after time.Duration, edge string, requests ...allocation.Request) {
	m := &stream.Message{Sequence: s.engine.Cursor().Sequence + 1, Time: sale.InstantOf(at(after)), Data: make([]byte, 100*len(requests))}
	p := allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Edge: edge, Requests: requests}
	b := s.engine.Begin()
	s.engine.Apply(p, b)
	s.Packed(m, &p, b)
	clear(requests) // a watcher must not keep them
	clear(b.Decisions)
}

func (s *story) commit(after time.Duration, epoch int64) {
	c := s.engine.Cursor()
	s.Committed(&ledger.CommitRow{Generation: c.Generation, Sequence: c.Sequence, Position: c.Position, Epoch: epoch, At: at(after)})
}

// small is a sale of four items with some of everything.
func small() *story {
	s := newStory(4, 2)
	s.play()
	return s
}

func (s *story) play() {
	const ms = time.Millisecond
	s.pack(0, "edge-a", ask(1, 11, "ann"), ask(2, 11, "bob"))
	s.pack(10*ms, "edge-b", ask(3, 12, "ann"), ask(4, 11, "cid"))
	s.commit(12*ms, 3)
	s.pack(20*ms, "edge-a", ask(5, 13, "ann"), ask(6, 13, "bob"), ask(2, 11, "bob"))
	s.commit(23*ms, 3)
	s.pack(40*ms, "edge-a", ask(7, 14, "cid"))
	s.commit(45*ms, 4)
	late := ask(9, 14, "eve")
	late.Expires = 1
	s.pack(44*ms, "edge-a", ask(8, 12, "dan"), late, allocation.Request{})
	s.commit(46*ms, 4)
}

func (s *story) report() *auditor.Report {
	c := s.engine.Cursor()
	return &auditor.Report{
		Sale: s.of.ID, UUID: s.of.UUID, Generation: c.Generation, Sequence: c.Sequence, Position: c.Position, Sold: c.Sold,
		Chain: strings.Repeat("ab", 32), Packs: 5, Requests: c.Position, Decisions: 10, Commits: 4,
	}
}

// node is an element of a page.
type node struct {
	name  string
	attrs map[string]string
	kids  []*node
	text  string // its own, and that of all within
}

func (n *node) class() []string { return strings.Fields(n.attrs["class"]) }

// all returns the elements within that the filter takes, in order.
func (n *node) all(take func(*node) bool) (list []*node) {
	for _, k := range n.kids {
		if take(k) {
			list = append(list, k)
		}
		list = append(list, k.all(take)...)
	}
	return list
}

func named(name string) func(*node) bool { return func(n *node) bool { return n.name == name } }

func classed(class string) func(*node) bool {
	return func(n *node) bool { return slices.Contains(n.class(), class) }
}

// one returns the only element that the filter takes.
func (n *node) one(t *testing.T, take func(*node) bool) *node {
	t.Helper()
	list := n.all(take)
	if len(list) != 1 {
		t.Fatalf("%d elements, want one", len(list))
	}
	return list[0]
}

// section returns the section with a heading of this id.
func (n *node) section(t *testing.T, id string) *node {
	t.Helper()
	return n.one(t, func(n *node) bool { return n.name == "section" && n.attrs["aria-labelledby"] == id })
}

func (n *node) texts(take func(*node) bool) (list []string) {
	for _, k := range n.all(take) {
		list = append(list, strings.Join(strings.Fields(k.text), " "))
	}
	return list
}

// parse reads a page. It must be well-formed, but for HTML's void elements.
func parse(t *testing.T, text []byte) *node {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	root := &node{}
	open := []*node{root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(open) == 1 {
			return root
		}
		if err != nil {
			t.Fatalf("%v, %d elements open", err, len(open))
		}
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				n.attrs[a.Name.Local] = a.Value
			}
			top := open[len(open)-1]
			top.kids, open = append(top.kids, n), append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, n := range open {
				n.text += string(token)
			}
		}
	}
}

func render(t *testing.T, c *report.Collector, r *auditor.Report) ([]byte, *node) {
	t.Helper()
	var b bytes.Buffer
	if err := report.Render(&b, c, r); err != nil {
		t.Fatal(err)
	}
	for _, nonsense := range []string{"NaN", "Inf", "ZgotmplZ", "%!", "&lt;nil&gt;"} {
		if strings.Contains(b.String(), nonsense) {
			t.Errorf("the page says %s", nonsense)
		}
	}
	if len(b.Bytes()) > 1_500_000 {
		t.Errorf("the page has %d bytes", b.Len())
	}
	return b.Bytes(), parse(t, b.Bytes())
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestFiguresOfASmallSale(t *testing.T) {
	t.Parallel()
	s := small()
	_, p := render(t, s.Collector, s.report())
	same(t, "key figures", p.one(t, classed("tiles")).texts(named("dd")),
		"4 of 4", "40 ms from the first request", "11 1 of them asked again", "110/s in the busiest tenth of a second",
		"3 ms from stream to commit", "12 ms from stream to commit")
	same(t, "milestones", p.section(t, "sold").texts(named("dd")), "0 µs", "0 µs", "10 ms", "20 ms", "40 ms", "40 ms")
	same(t, "outcomes", p.section(t, "flow").one(t, named("tbody")).texts(func(n *node) bool { return n.name == "th" || n.name == "td" && n.attrs["class"] == "n" }),
		"granted", "4", "36.4%", "item taken", "2", "18.2%", "limit reached", "1", "9.09%", "sold out", "1", "9.09%",
		"code expired", "1", "9.09%", "malformed", "1", "9.09%", "asked again", "1", "9.09%")
	same(t, "latency", p.section(t, "waits").texts(named("dd")), "2 ms", "3 ms", "12 ms", "12 ms", "12 ms", "12 ms")
	same(t, "sizes", p.section(t, "sizes").texts(named("figcaption")),
		"Commits by packs in them: 1.3 on average, 2 at most", "Commits by requests in them: 2.8 on average, 4 at most",
		"Commits by new decisions in them: 2.5 on average, 4 at most", "Packs by requests in them: 2.2 on average, 3 at most",
		"Packs by their size: 220 on average, 300 at most")
	same(t, "edges", p.section(t, "sizes").one(t, named("tbody")).texts(named("tr")), "edge-a49"+"81.8%", "edge-b1218.2%")
}

func TestRaceForTheMostWantedItems(t *testing.T) {
	t.Parallel()
	s := small()
	_, p := render(t, s.Collector, s.report())
	race := p.section(t, "race")
	same(t, "items", race.texts(func(n *node) bool { return n.name == "p" && strings.HasPrefix(n.text, "item ") }), "item 11", "item 14", "item 12", "item 13")
	same(t, "figures", race.texts(named("dd")),
		"3", "position 1, 1.000 s after the opening", "0 ms behind (1 position, same time)",
		"2", "position 8, 1.040 s after the opening", "4 ms behind (2 positions)",
		"2", "position 3, 1.010 s after the opening", "34 ms behind (6 positions)",
		"2", "position 6, 1.020 s after the opening", "nobody asked after that")
	if name := race.texts(named("h3"))[0]; name != catalogue.Name(&s.of, 11) {
		t.Errorf("the item is called %q", name)
	}
	if n := len(race.all(func(n *node) bool { return slices.Contains(n.class(), "picture") && len(n.kids) == 1 })); n != 4 {
		t.Errorf("%d pictures", n)
	}
}

// wide returns the widest drawing of the nth chart of a section.
func wide(t *testing.T, section *node, n int) *node {
	t.Helper()
	list := section.all(classed("wide"))
	if len(list) <= n {
		t.Fatalf("%d charts", len(list))
	}
	return list[n]
}

func TestChartsShowTheValues(t *testing.T) {
	t.Parallel()
	s := small()
	_, p := render(t, s.Collector, s.report())
	// 45 ms are 1040 - 14 - 19 px wide; four items are 238 px high.
	curve := wide(t, p.section(t, "sold"), 0)
	d := curve.one(t, classed("curve")).attrs["d"]
	if want := "M19 278L19 218.5L242.8 159L466.6 99.5L914.1 40H1026"; d != want {
		t.Errorf("curve\n got %s\nwant %s", d, want)
	}
	flow := wide(t, p.section(t, "flow"), 0)
	same(t, "columns", flow.texts(func(n *node) bool { return slices.Contains(n.class(), "hit") }),
		"from 0 µs to 1 ms: 2 requests, granted 1, item taken 1", "from 10 ms to 11 ms: 2 requests, granted 1, item taken 1",
		"from 20 ms to 21 ms: 3 requests, granted 1, limit reached 1, asked again 1", "from 40 ms to 41 ms: 1 request, granted 1",
		"from 44 ms to 45 ms: 3 requests, sold out 1, code expired 1, malformed 1",
	)
	// Of the first column, one of two requests was granted, and the other one is
	// drawn on top of it; 3000 requests a second are 238 px high.
	for class, want := range map[string]string{"granted": "M39 198.7", "taken": "M39 119.3"} {
		path := flow.one(t, func(n *node) bool { return n.name == "path" && slices.Contains(n.class(), class) })
		if d := path.attrs["d"]; !strings.HasPrefix(d, want) {
			t.Errorf("%s is drawn as %.60s, want %s", class, d, want)
		}
	}
	waits := wide(t, p.section(t, "waits"), 0)
	if tip := waits.texts(classed("hit"))[0]; tip != "from 0 µs to 1 ms: 2 requests, p50 12 ms, p99 12 ms, longest 12 ms" {
		t.Errorf("the first column says %q", tip)
	}
	spread := wide(t, p.section(t, "waits"), 1)
	share := 0
	for _, tip := range spread.texts(classed("hit")) {
		if !strings.Contains(tip, ": 0 requests") {
			share++
		}
	}
	if share != 4 { // 2, 3, 5 and 12 ms
		t.Errorf("%d columns are not empty: %q", share, spread.texts(classed("hit")))
	}
}

// The owner is no rival, whatever code he asks with.
func TestTheSecondOneIsAnotherUser(t *testing.T) {
	t.Parallel()
	s := newStory(4, 4)
	s.pack(0, "e", ask(1, 11, "ann"), ask(2, 11, "ann"))
	s.pack(time.Millisecond, "e", ask(3, 11, "ann"), ask(4, 11, "bob"), ask(5, 11, "cid"))
	s.commit(2*time.Millisecond, 1)
	_, p := render(t, s.Collector, s.report())
	same(t, "figures", p.section(t, "race").texts(named("dd")), "5", "position 1, 1.000 s after the opening", "1 ms behind (3 positions)")
}

func TestRequestsWithoutACommitAreCounted(t *testing.T) {
	t.Parallel()
	s := newStory(9, 9)
	s.pack(0, "e", ask(1, 11, "ann"))
	s.commit(time.Millisecond, 1)
	s.pack(time.Millisecond, "e", ask(2, 12, "ann"), ask(3, 13, "ann"))
	s.Lost(&ledger.HoleRow{Generation: 2, Epoch: 1, FoundAt: at(2 * time.Millisecond)}, nil)
	s.pack(3*time.Millisecond, "e", ask(4, 14, "ann"))
	_, p := render(t, s.Collector, s.report())
	if text := p.section(t, "waits").one(t, classed("lead")).text; !strings.Contains(text, "3 requests not counted") {
		t.Errorf("the page says %q", text)
	}
}
