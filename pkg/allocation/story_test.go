package allocation_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/sale"
)

// A story in testdata is a transcript, one event a line:
//
//	sale stock=2 limit=1 first=1 rules=1
//	pack at=10: ann buys 1 with A until 99, bob buys 1 with B until 99
//	  1 A ann item 1: granted at 10
//	  2 B bob item 1: item-taken at 10
//	  facts: owner 1=A
//
// Lines that do not start with a space are played; the indented ones must come
// out. "?" stands for an unreadable request.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.story")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if effort.Update() {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("the story came out otherwise:\n%s", got)
			}
		})
	}
}

func play(t *testing.T, text string) string {
	var out strings.Builder
	var engine *allocation.Engine
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, " "):
			continue
		case strings.HasPrefix(line, "sale "):
			engine = openStory(t, line)
		case strings.HasPrefix(line, "pack "):
			out.WriteString(line + "\n")
			tell(&out, engine, parsePack(t, line, engine.Cursor().Sequence+1))
			continue
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

func openStory(t *testing.T, line string) *allocation.Engine {
	s := testSale(0, 0)
	if _, err := fmt.Sscanf(line, "sale stock=%d limit=%d first=%d rules=%d", &s.Stock, &s.UserLimit, &s.FirstItem, &s.Rules); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return allocation.New(s, allocation.Hash{1}, 0)
}

func parsePack(t *testing.T, line string, sequence uint64) allocation.Pack {
	head, body, _ := strings.Cut(strings.TrimPrefix(line, "pack at="), ": ")
	p := allocation.Pack{Sequence: sequence, Time: sale.Instant(number(t, head)), Hash: sha256.Sum256([]byte(line)), Edge: "e"}
	for i, r := range strings.Split(body, ", ") {
		if r == "?" {
			p.Requests = append(p.Requests, allocation.Request{Number: uint64(i)})
			continue
		}
		w := strings.Fields(r)
		if len(w) != 7 {
			t.Fatalf("%q: want USER buys ITEM with CODE until TIME", r)
		}
		p.Requests = append(p.Requests, allocation.Request{
			Number: uint64(i), User: sale.UserID(w[0]), Item: sale.ItemID(number(t, w[2])),
			Code: codeNamed(w[4]), Expires: sale.Instant(number(t, w[6])),
		})
	}
	return p
}

func tell(out *strings.Builder, engine *allocation.Engine, p allocation.Pack) {
	b := engine.Begin()
	engine.Apply(p, b)
	first := b.Before.Position + 1
	for _, r := range b.Replies {
		d := r.Decision
		fmt.Fprintf(out, "  %d %s %s item %d: %s at %d", d.Position, nameOf(d.Code), d.User, d.Item, d.Reason, d.At)
		if d.Position < first {
			out.WriteString(" (recorded)")
		}
		out.WriteString("\n")
	}
	var facts []string
	for _, o := range b.Facts.Owners {
		facts = append(facts, fmt.Sprintf("owner %d=%s", o.Item, nameOf(o.Code)))
	}
	for _, u := range b.Facts.AtLimit {
		var names []string
		for _, c := range u.Codes {
			names = append(names, nameOf(c))
		}
		facts = append(facts, fmt.Sprintf("at limit %s=%s", u.User, strings.Join(names, "+")))
	}
	if b.Facts.SoldOut {
		facts = append(facts, "sold out")
	}
	if len(facts) > 0 {
		fmt.Fprintf(out, "  facts: %s\n", strings.Join(facts, ", "))
	}
}

func number(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func codeNamed(name string) (id code.ID) {
	copy(id[:], name)
	return id
}

func nameOf(id code.ID) string {
	if id.IsZero() {
		return "?"
	}
	return strings.TrimRight(string(id[:]), "\x00")
}

func testSale(stock, limit int) sale.Sale {
	return sale.Sale{
		Installation: sale.UUID{1}, UUID: sale.UUID{2}, ID: 1, OpensAt: sale.Instant(1).Time(),
		Stock: stock, UserLimit: limit, FirstItem: 1, Seed: 1, Rules: sale.RulesVersion,
	}
}
