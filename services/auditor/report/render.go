package report

import (
	"bufio"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"notsale/pkg/catalogue"
	"notsale/pkg/sale"
	"notsale/services/auditor"
)

//go:embed page.html style.css
var files embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"clock": clock, "grouped": grouped, "lasting": lasting, "printable": printable, "share": share,
}).ParseFS(files, "page.html", "style.css"))

// Bounds of what the page lists.
const (
	listedFindings = 100
	listedItems    = 10
	listedEdges    = 8
)

// Render writes the page of an audit that the collector watched. The same audit
// gives the same bytes.
func Render(w io.Writer, c *Collector, r *auditor.Report) error {
	b := bufio.NewWriter(w)
	if err := pageTemplate.ExecuteTemplate(b, "page.html", newPage(c, r)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// page is what the template shows.
type page struct {
	Sale     sale.ID
	State    string
	Opened   string
	Items    string
	Verdict  verdict
	Figures  []figure
	Began    bool // requests came
	Sold     section
	Steps    []figure
	Flow     section
	Kinds    []kindRow
	Whole    chart // nil: Flow shows all of it
	WholeTip string
	Waits    section
	Spread   chart
	Wait     []figure
	WaitNote string
	Sizes    []*canvas
	Edges    []*edge
	Packed   int64 // requests in packs
	MoreEdge string
	Trouble  []incident
	MoreBad  int
	Race     []racer
	Proof    []figure
	Chain    string
}

type section struct {
	Chart chart
	Note  string
}

type figure struct{ Name, Value, Note string }

// verdict is what the audit came to.
type verdict struct {
	Clean        bool
	Headline     string
	Sentence     string
	Findings     []findingRow
	More         int
	Reservations []string // what could not be proved
}

type findingRow struct {
	Kind, Where, Field, Ledger, Stream, At string
}

type kindRow struct {
	Class, Name, Meaning, Count, Share string
}

type racer struct {
	Name    string
	Item    sale.ItemID
	Picture template.HTML
	Asked   string
	Part    int // of what the most wanted item was asked, in percent
	Owner   string
	Second  string
	User    string // empty: not named
}

func newPage(c *Collector, r *auditor.Report) *page {
	s := &c.sale
	p := &page{
		Sale: r.Sale, State: stateName(c.state), Opened: clock(c.openedAt.Time()), Began: c.begun,
		Items:   fmt.Sprintf("%s, items %d to %d, at most %d per user", counted(int64(s.Stock), "item"), s.FirstItem, s.LastItem(), s.UserLimit),
		Verdict: c.verdict(r), Figures: c.figures(), Kinds: c.kindRows(), Trouble: c.incidents, Race: c.racers(),
		MoreBad: c.takeovers + c.holes - len(c.incidents), Proof: c.proof(r), Chain: printable(r.Chain),
	}
	if c.begun {
		c.drawOverTime(p)
		c.drawDistributions(p)
	}
	return p
}

func stateName(s sale.State) string { return strings.ReplaceAll(printable(string(s)), "_", " ") }

func (c *Collector) verdict(r *auditor.Report) verdict {
	v := verdict{Clean: r.Clean(), Headline: "Clean"}
	v.Sentence = fmt.Sprintf("Ledger and stream agree: replayed, %s gave the same %s, owners, commits and chain; %s to check out were compared.",
		counted(int64(r.Packs), "pack"), counted(r.Decisions, "decision"), counted(r.Attempts, "attempt"))
	if c.state == sale.Open {
		v.Sentence += " The sale is under way: this covers it so far."
	}
	if !v.Clean {
		v.Headline = counted(int64(r.Total), "finding")
		v.Sentence = "Ledger and stream do not agree. The findings stand in the order of the stream, so the first ones tell."
	}
	for i := range r.Findings[:min(len(r.Findings), listedFindings)] {
		v.Findings = append(v.Findings, c.findingRow(&r.Findings[i]))
	}
	v.More = r.Total - len(v.Findings)
	for _, x := range []struct {
		n         int64
		what, why string
	}{
		{r.Unproved, "unproved decision", " in holes: the messages are lost, the ledger alone speaks for them."},
		{r.Unrecorded, "unrecorded attempt", " to check out: in the stream, and no recorder has come to them yet."},
		{r.UnprovedAttempts, "unproved attempt", " to check out: their stream is removed, or has lost its tail; the ledger alone speaks for them."},
	} {
		if x.n > 0 {
			v.Reservations = append(v.Reservations, counted(x.n, x.what)+x.why)
		}
	}
	return v
}

// secretFields hold user ids.
var secretFields = map[string]bool{"user_id": true, "user_param": true}

const withheld = "(a user id, withheld)"

func (c *Collector) findingRow(f *auditor.Finding) findingRow {
	row := findingRow{
		Kind: printable(string(f.Kind)), Where: strings.TrimSpace(printable(f.Table) + " " + printable(f.Row)), Field: printable(f.Field),
		Ledger: printable(f.Ledger), Stream: printable(f.Stream),
	}
	if secretFields[f.Field] && !c.WithUsers {
		row.Ledger, row.Stream = withheld, withheld
	}
	var at []string
	if f.Sequence > 0 {
		at = append(at, "sequence "+grouped(int64(f.Sequence)))
	}
	if f.Position != 0 {
		at = append(at, "position "+grouped(f.Position))
	}
	row.At = strings.Join(at, ", ")
	return row
}

// notKnown is shown where there is no figure.
const notKnown = "–"

func (c *Collector) figures() []figure {
	list := []figure{
		{"Sold", grouped(int64(c.curve.sold)), "of " + grouped(int64(c.sale.Stock))},
		{"Time to sell out", notKnown, "not sold out"},
		{"Requests", grouped(c.requests()), grouped(c.outcomes[askedAgain]) + " of them asked again"},
		{"Peak", notKnown, "no request came"},
		{"Latency p50", notKnown, "no commit was met"},
		{"Latency p99", notKnown, "no commit was met"},
	}
	if at, out := c.curve.soldOut(); out {
		list[1].Value, list[1].Note = lasting(at), "from the first request"
	}
	if c.peak.most > 0 {
		list[3].Value, list[3].Note = grouped(c.peak.perSecond())+"/s", "in the busiest tenth of a second"
	}
	if c.waits.count() > 0 {
		list[4].Value, list[4].Note = lasting(c.waits.percentile(50)), "from stream to commit"
		list[5].Value, list[5].Note = lasting(c.waits.percentile(99)), "from stream to commit"
	}
	return list
}

func (c *Collector) proof(r *auditor.Report) []figure {
	list := []figure{
		{"Sale", r.UUID.String(), ""},
		{"Generation", grouped(r.Generation), ""},
		{"Sequence", grouped(int64(r.Sequence)), ""},
		{"Position", grouped(r.Position), ""},
	}
	if r.Chain == "" { // the replay broke off
		for i := range list[1:] {
			list[i+1].Value = notKnown
		}
	}
	return list
}

func (c *Collector) kindRows() []kindRow {
	total := c.requests()
	var rows []kindRow
	for _, k := range kinds {
		if n := c.outcomes[k.outcome]; n > 0 {
			rows = append(rows, kindRow{k.class, k.name, k.meaning, grouped(n), share(n, total)})
		}
	}
	return rows
}

func (c *Collector) racers() []racer {
	var list []racer
	wanted := c.mostWanted(listedItems)
	for _, w := range wanted {
		r := racer{
			Name: catalogue.Name(&c.sale, w.item), Item: w.item, Asked: grouped(int64(w.asked)), Part: int(100 * w.asked / wanted[0].asked),
			Picture: template.HTML(catalogue.Picture(&c.sale, w.item)), //nolint:gosec // pkg/catalogue draws it, from numbers alone
			Owner:   "nobody bought it", Second: notKnown,
		}
		if w.position > 0 {
			r.Owner = fmt.Sprintf("position %s, %.3f s after the opening", grouped(w.position), float64(w.at-c.openedAt)/1e6)
			r.Second = "nobody asked after that"
		}
		if w.behind > 0 {
			r.Second = behind(w.gap(), int64(w.behind))
		}
		if c.WithUsers {
			r.User = printable(string(w.owner))
		}
		list = append(list, r)
	}
	return list
}

// behind writes how far behind somebody was, in milliseconds and positions.
func behind(us sale.Instant, positions int64) string {
	text := digits(float64(us)/1000, 4) + " ms behind (" + counted(positions, "position")
	if us == 0 {
		text += ", same time"
	}
	return text + ")"
}

func (c *Collector) drawOverTime(p *page) {
	stock, total := int64(c.sale.Stock), c.requests()
	p.Sold.Note = fmt.Sprintf("The first request came %s after the opening.", lasting(int64(c.first-c.openedAt)))
	p.Sold.Chart = c.soldChart(fmt.Sprintf("Items sold over time: %s of %s", grouped(int64(c.curve.sold)), grouped(stock)))
	for _, percent := range []int{10, 25, 50, 75, 90, 100} {
		f := figure{Name: fmt.Sprintf("%d%%", percent), Value: notKnown}
		if i := (percent*c.curve.steps() + 99) / 100; i > 0 && i <= len(c.curve.times) {
			f.Value = lasting(c.curve.times[i-1])
		}
		p.Steps = append(p.Steps, f)
	}
	p.Flow.Chart = c.flowChart(fmt.Sprintf("Requests per second over time, by outcome: %s in all", grouped(total)), &c.rush, c.span())
	p.Flow.Note = "These are the requests that reached the stream. What edges refused from the cache, and checkouts, are not among them."
	if c.unproved > 0 {
		p.Flow.Note += fmt.Sprintf(" Drawn where the ledger puts them, for a hole has their messages: %s.", counted(c.unproved, "unproved decision"))
	}
	if c.latest > 2*c.span() {
		p.Whole = c.flowChart("Requests per second over the whole time, by outcome", &c.whole, c.whole.until(c.latest))
		p.WholeTip = fmt.Sprintf("The whole time, up to the last request %s after the first", lasting(c.latest))
	}
}

func (c *Collector) drawDistributions(p *page) {
	if c.waits.count() > 0 {
		label := fmt.Sprintf("p50 %s, p99 %s, longest %s", lasting(c.waits.percentile(50)), lasting(c.waits.percentile(99)), lasting(c.waits.high))
		p.Waits.Chart = c.waitChart("Time from stream to commit over time: " + label)
		p.Spread = c.waits.spreadChart("How long requests took from stream to commit: " + label)
		p.Wait = []figure{{Name: "shortest", Value: lasting(c.waits.low)}}
		for _, q := range []float64{50, 90, 99, 99.9} {
			p.Wait = append(p.Wait, figure{Name: fmt.Sprintf("p%v", q), Value: lasting(c.waits.percentile(q))})
		}
		p.Wait = append(p.Wait, figure{Name: "longest", Value: lasting(c.waits.high)})
		if c.waits.low < 0 {
			p.WaitNote = fmt.Sprintf("%s committed before the stream had stored them, by the two clocks: the clocks disagree by %s or more.",
				counted(c.waits.negative, "request"), lasting(-c.waits.low))
		}
	}
	if n := c.unmeasured + c.pending.requests; n > 0 {
		p.Waits.Note = counted(n, "request") + " not counted here: no commit of theirs was met."
	}
	if c.commitPacks.n > 0 {
		p.Sizes = append(p.Sizes, c.commitPacks.sizeChart("Commits by packs in them", "packs", false),
			c.commitRequests.sizeChart("Commits by requests in them", "requests", false),
			c.commitDecisions.sizeChart("Commits by new decisions in them", "decisions", false))
	}
	if c.packRequests.n > 0 {
		p.Sizes = append(p.Sizes, c.packRequests.sizeChart("Packs by requests in them", "requests", false),
			c.packBytes.sizeChart("Packs by their size", "bytes", true))
	}
	c.listEdges(p)
}

func (c *Collector) listEdges(p *page) {
	list := c.busiest()
	p.Edges, p.Packed = list[:min(len(list), listedEdges)], c.packRequests.sum
	switch more := len(list) - len(p.Edges); {
	case c.moreEdges.Packs > 0:
		p.MoreEdge = fmt.Sprintf("and more than %d others", more)
	case more > 0:
		p.MoreEdge = fmt.Sprintf("and %s with fewer requests", counted(int64(more), "edge"))
	}
}
