package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/auditor"
	"notsale/services/auditor/report"
)

// The page asks for nothing, from anywhere, and runs nothing.
func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	s := small()
	text, p := render(t, s.Collector, s.report())
	if policy := p.one(t, func(n *node) bool { return n.attrs["http-equiv"] == "Content-Security-Policy" }).attrs["content"]; !strings.HasPrefix(policy, "default-src 'none'; style-src 'unsafe-inline';") {
		t.Errorf("policy %q", policy)
	}
	for _, n := range p.all(func(*node) bool { return true }) {
		if slices.Contains([]string{"script", "iframe", "object", "embed", "form", "img", "image", "use", "base"}, n.name) {
			t.Errorf("the page has a %s", n.name)
		}
		for name, value := range n.attrs {
			where := name == "src" || name == "href" || name == "action" || name == "srcset"
			if strings.HasPrefix(name, "on") || where && !strings.HasPrefix(value, "#") && value != "data:," {
				t.Errorf("%s has %s=%q", n.name, name, value)
			}
		}
	}
	if style := p.one(t, named("style")).text; strings.Contains(style, "@import") || strings.Contains(strings.ReplaceAll(style, "url(#", ""), "url(") {
		t.Error("the style refers to something outside")
	}
	if n := bytes.Count(text, []byte("//")) - bytes.Count(text, []byte("http://www.w3.org/2000/svg")); n != 0 {
		t.Errorf("the page has %d addresses", n)
	}
}

func TestPageIsAccessible(t *testing.T) {
	t.Parallel()
	s := small()
	_, p := render(t, s.Collector, s.report())
	if p.one(t, named("html")).attrs["lang"] != "en" || len(p.all(named("h1"))) != 1 {
		t.Error("the page has no language, or not one main heading")
	}
	ids := map[string]int{}
	for _, n := range p.all(func(n *node) bool { return n.attrs["id"] != "" }) {
		ids[n.attrs["id"]]++
	}
	for id, times := range ids {
		if times > 1 {
			t.Errorf("%d elements are called %s", times, id)
		}
	}
	for _, n := range p.all(classed("chart")) {
		if n.attrs["role"] != "img" || n.attrs["aria-label"] == "" {
			t.Errorf("a chart without a label: %v", n.attrs)
		}
	}
	for _, n := range p.all(func(n *node) bool { return n.attrs["aria-labelledby"] != "" }) {
		if ids[n.attrs["aria-labelledby"]] == 0 {
			t.Errorf("nothing is called %s", n.attrs["aria-labelledby"])
		}
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	s := small()
	r := s.report()
	_, p := render(t, s.Collector, r)
	same(t, "a clean sale", p.one(t, classed("verdict")).texts(named("h2")), "✓ Clean")
	if text := p.one(t, classed("chain")).one(t, named("code")).text; text != r.Chain {
		t.Errorf("chain %q", text)
	}
	r.Unproved, r.Unrecorded = 12, 1
	_, p = render(t, s.Collector, r)
	same(t, "reservations", p.one(t, classed("doubt")).texts(named("li")),
		"12 unproved decisions in holes: the messages are lost, the ledger alone speaks for them.",
		"1 unrecorded attempt to check out: in the stream, and no recorder has come to them yet.")
	r.Total, r.Findings = 3, []auditor.Finding{{Kind: auditor.Differs, Table: "decisions", Row: "5", Field: "reason", Sequence: 4, Position: 5, Ledger: "granted", Stream: "item-taken"}}
	r.Chain = ""
	_, p = render(t, s.Collector, r)
	same(t, "a sale with findings", p.one(t, classed("dirty")).texts(named("h2")), "✕ 3 findings")
	same(t, "the finding", p.one(t, classed("findings")).texts(named("li")), "differs decisions 5 · reason sequence 4, position 5the ledger hasgrantedthe stream givesitem-taken")
	if text := p.one(t, classed("dirty")).text; !strings.Contains(text, "And 2 more") {
		t.Error("nothing says that there are more")
	}
	if text := p.one(t, classed("chain")).text; !strings.Contains(text, "broke off") || strings.Contains(text, "11") {
		t.Errorf("chain %q", text)
	}
}

// What stands in the ledger may have been planted there.
func TestHostileTextIsHarmless(t *testing.T) {
	t.Parallel()
	const hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}</style>\u202e\x00\xff&amp;"
	s := newStory(3, 3)
	s.pack(0, "edge"+hostile, ask(1, 11, "ann"+hostile), ask(2, 11, "bob"), ask(3, 12, "ann"))
	s.commit(1, 1)
	s.WithUsers = true
	r := s.report()
	for _, kind := range []auditor.Kind{auditor.Differs, hostile} {
		r.Findings = append(r.Findings, auditor.Finding{Kind: kind, Table: hostile, Row: hostile, Field: hostile, Ledger: hostile, Stream: hostile})
	}
	r.Total, r.Chain = 2, hostile
	text, p := render(t, s.Collector, r)
	if len(p.all(named("script")))+len(p.all(named("img"))) > 0 {
		t.Error("the text became elements")
	}
	for _, n := range p.all(func(*node) bool { return true }) {
		for name := range n.attrs {
			if strings.HasPrefix(name, "on") {
				t.Errorf("%s has %s", n.name, name)
			}
		}
	}
	const shown = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}</style>\\u{202e}\\u{0}"
	if n := strings.Count(p.one(t, classed("findings")).text, shown); n != 11 {
		t.Errorf("the text is shown %d times", n)
	}
	if edges := p.section(t, "sizes").one(t, named("tbody")).text; !strings.Contains(edges, "edge"+shown) {
		t.Errorf("edges %q", edges)
	}
	if bytes.Contains(text, []byte("\u202e")) || bytes.Contains(text, []byte{0}) {
		t.Error("the page holds what is not to be seen")
	}
}

func TestUsersAreNamedOnRequestOnly(t *testing.T) {
	t.Parallel()
	s := newStory(3, 3)
	s.pack(0, "edge", ask(1, 11, "pseudonym-1"), ask(2, 11, "pseudonym-2"))
	s.commit(1, 1)
	r := s.report()
	for _, field := range []string{"user_id", "user_param"} {
		r.Findings = append(r.Findings, auditor.Finding{Kind: auditor.Differs, Table: "items", Field: field, Ledger: "pseudonym-3", Stream: "pseudonym-1"})
	}
	r.Total = 2
	text, _ := render(t, s.Collector, r)
	if bytes.Contains(text, []byte("pseudonym")) {
		t.Error("the page names users")
	}
	s.WithUsers = true
	_, p := render(t, s.Collector, r)
	if owner := p.section(t, "race").texts(named("bdi")); !slices.Equal(owner, []string{"pseudonym-1"}) {
		t.Errorf("owners %q", owner)
	}
	if n := strings.Count(p.one(t, classed("findings")).text, "pseudonym-3"); n != 2 {
		t.Errorf("%d findings name the user", n)
	}
}

func TestEmptySale(t *testing.T) {
	t.Parallel()
	s := newStory(1000, 10)
	s.open(sale.Open)
	_, p := render(t, s.Collector, s.report())
	if n := len(p.all(classed("chart"))); n != 0 {
		t.Errorf("%d charts of nothing", n)
	}
	p.section(t, "nothing")
	same(t, "key figures", p.one(t, classed("tiles")).texts(named("b")), "0", "–", "0", "–", "–", "–")
	if text := p.one(t, classed("clean")).text; !strings.Contains(text, "under way") {
		t.Errorf("verdict %q", text)
	}
}

// A sale of which one request, or only refusals, are there has whole charts.
func TestShortSales(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(*story){
		"one request":            func(s *story) { s.pack(0, "e", ask(1, 11, "ann")); s.commit(time.Millisecond, 1) },
		"one that is unreadable": func(s *story) { s.pack(0, "", allocation.Request{}); s.commit(time.Millisecond, 1) },
		"no commit":              func(s *story) { s.pack(0, "e", ask(1, 11, "ann")) },
		"a committed instant":    func(s *story) { s.pack(0, "e", ask(1, 11, "ann")); s.commit(0, 1) },
		"two, a year apart": func(s *story) {
			s.pack(0, "e", ask(1, 11, "ann"))
			s.pack(365*24*time.Hour, "e", ask(2, 11, "ann"))
			s.commit(366*24*time.Hour, 1)
		},
		"commits before the stream": func(s *story) { s.pack(0, "e", ask(1, 11, "ann")); s.commit(-time.Second, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, stock := range []int{1, 2, 700} {
				s := newStory(stock, 1)
				play(s)
				render(t, s.Collector, s.report())
			}
		})
	}
}

func TestSkewedClocksAreShown(t *testing.T) {
	t.Parallel()
	s := newStory(10, 10)
	s.pack(0, "e", ask(1, 11, "ann"), ask(2, 12, "ann"))
	s.commit(-3*time.Millisecond, 1)
	s.pack(10*time.Millisecond, "e", ask(3, 13, "ann"))
	s.commit(14*time.Millisecond, 1)
	_, p := render(t, s.Collector, s.report())
	waits := p.section(t, "waits")
	same(t, "latency", waits.texts(named("dd")), "−3 ms", "−3 ms", "4 ms", "4 ms", "4 ms", "4 ms")
	if note := waits.one(t, func(n *node) bool { return n.name == "p" && slices.Contains(n.class(), "note") }).text; !strings.Contains(note, "2 requests") || !strings.Contains(note, "3 ms or more") {
		t.Errorf("note %q", note)
	}
	if tip := wide(t, waits, 1).texts(classed("hit"))[0]; tip != "below 0, down to −3 ms: 2 requests, 66.7%" {
		t.Errorf("the first column says %q", tip)
	}
}

func TestTakeoversAndHolesStandOnTheTimeAxis(t *testing.T) {
	t.Parallel()
	s := newStory(100, 10)
	s.pack(0, "e", ask(1, 11, "ann"))
	s.commit(10*time.Millisecond, 5)
	s.pack(250*time.Millisecond, "e", ask(2, 12, "ann"))
	s.commit(500*time.Millisecond, 6)
	lost := []allocation.Decision{{Position: 3, Code: code.ID{9}, Item: 13, User: "bob", At: sale.InstantOf(at(600 * time.Millisecond))}}
	s.Lost(&ledger.HoleRow{Generation: 2, Matching: 3, CursorSequence: 8, CursorPosition: 9, Resume: 4, Epoch: 7, FoundAt: at(750 * time.Millisecond)}, lost)
	s.pack(999*time.Millisecond, "e", ask(3, 14, "ann"))
	s.commit(1001*time.Millisecond, 7)
	_, p := render(t, s.Collector, s.report())
	same(t, "incidents", p.section(t, "trouble").texts(named("p"))[1:],
		"an allocator of term 6 took over from term 5, 490 ms after the commit before", "500 ms · 2026-01-01 12:00:01.500 UTC",
		"an allocator of term 7 took over from term 6, 250 ms after the commit before", "750 ms · 2026-01-01 12:00:01.750 UTC",
		"a hole in the stream: 5 messages that had been decided were lost; generation 2 begins, and the ledger alone speaks for 1 decision", "750 ms · 2026-01-01 12:00:01.750 UTC")
	for _, section := range []string{"sold", "flow", "waits"} {
		var places []string
		for _, n := range wide(t, p.section(t, section), 0).all(func(n *node) bool { return n.name == "line" && slices.Contains(n.class(), "mark") }) {
			places = append(places, n.class()[1]+" "+n.attrs["x1"])
		}
		axis := wide(t, p.section(t, section), 0).all(classed("axis"))[0]
		left, right := number(t, axis.attrs["x1"]), number(t, axis.attrs["x2"])
		place := func(kind string, share float64) string { return kind + " " + short(left+(right-left)*share) }
		same(t, section+" labels", wide(t, p.section(t, section), 0).texts(func(n *node) bool {
			return slices.Contains(n.class(), "takeover-name") || slices.Contains(n.class(), "hole-name")
		}), "T1", "T2 H1")
		same(t, section, places, place("takeover", 0.5), place("takeover", 0.75), place("hole", 0.75))
	}
	if figures := p.one(t, classed("tiles")).texts(named("b")); figures[0] != "4" || figures[2] != "4" {
		t.Errorf("sold and requests are %q: what was sold in the hole stays sold", figures)
	}
	if text := p.section(t, "flow").one(t, classed("lead")).text; !strings.Contains(text, "1 unproved decision") {
		t.Errorf("the page says %q", text)
	}
}

func number(t *testing.T, text string) (v float64) {
	t.Helper()
	if _, err := fmt.Sscan(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// short writes a length as the page does.
func short(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

// Rows of the ledger may say anything.
func TestAbsurdRowsAreShown(t *testing.T) {
	t.Parallel()
	s := newStory(3, 3)
	s.pack(0, "e", ask(1, 11, "ann"))
	for epoch := range int64(500) {
		at := time.Date(int(epoch*500), 1, 1, 0, 0, 0, 0, time.UTC)
		s.Committed(&ledger.CommitRow{Epoch: -epoch, At: at})
		s.Lost(&ledger.HoleRow{Generation: math.MaxInt64, Matching: 9, CursorSequence: 3, FoundAt: at, Epoch: epoch}, []allocation.Decision{
			{Position: -1, Item: 12, Reason: 77, At: math.MaxInt64 / 2},
			{Position: 1 << 60, Item: 11, At: math.MinInt64 / 2},
			{Item: -5, At: 5},
			{Item: math.MaxInt64},
			{Position: 3, Item: 13, User: "eve"},
		})
	}
	_, p := render(t, s.Collector, s.report())
	if text := p.section(t, "trouble").text; !strings.Contains(text, "more.") {
		t.Error("not all incidents are listed, and nothing says so")
	}
	if text := p.section(t, "flow").text; !strings.Contains(text, "unknown reason") {
		t.Error("an unknown reason is not shown")
	}
}

func TestAFloodOfFindingsAndEdgesIsCut(t *testing.T) {
	t.Parallel()
	s := newStory(3, 3)
	long := strings.Repeat("\"\u202e", 100_000)
	for n := range uint16(1000) {
		s.pack(time.Duration(n)*time.Millisecond, fmt.Sprint(n, long[:1000]), ask(n, 11, "ann"))
	}
	s.commit(time.Second, 1)
	r := s.report()
	for range auditor.MaxFindings {
		r.Findings = append(r.Findings, auditor.Finding{Kind: auditor.Differs, Table: long, Row: long, Field: long, Ledger: long, Stream: long})
	}
	r.Total = 5000
	_, p := render(t, s.Collector, r)
	if n := len(p.one(t, classed("findings")).kids); n != 100 {
		t.Errorf("%d findings", n)
	}
	if text := p.one(t, classed("edges")).text; !strings.Contains(text, "and more than 248 others") {
		t.Errorf("edges %.300q", text)
	}
}

// An audit may begin anew.
func TestOpenedStartsAnew(t *testing.T) {
	t.Parallel()
	want, _ := render(t, small().Collector, small().report())
	s := newStory(4, 2)
	s.pack(0, "another", ask(1, 11, "ann"))
	s.commit(time.Second, 99)
	s.open(sale.SoldOut)
	s.play()
	if got, _ := render(t, s.Collector, s.report()); !bytes.Equal(got, want) {
		t.Error("the same sale gives another page")
	}
}

var errFull = errors.New("full")

type fullDisk struct{ left int }

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAFullDiskIsAnError(t *testing.T) {
	t.Parallel()
	s := small()
	if err := report.Render(&fullDisk{left: 10_000}, s.Collector, s.report()); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
