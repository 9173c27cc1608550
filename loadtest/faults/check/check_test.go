package check_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"notsale/loadtest/faults/check"
	"notsale/pkg/effort"
)

func big() setting {
	return setting{
		seed: 1, operations: 100_000, clients: 256, users: 1000, stock: 6000, limit: 10,
		lost: 0.01, failed: 0.02, forgets: 0.0005, lookups: 0.15,
	}
}

func options() check.Options {
	o := check.DefaultOptions()
	o.ClockTolerance = time.Millisecond
	return o
}

func text(t interface{ Fatal(args ...any) }, r *check.Report) string {
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The size of a run that the reliability goals ask for.
func TestALargeSaleIsClean(t *testing.T) {
	h := simulate(big())
	began := time.Now()
	o := options()
	o.SoldOut = true
	r := check.Check(h, o)
	t.Logf("in %v\n%s", time.Since(began), text(t, r))
	if !r.OK {
		t.Fatal("a correct sale was found to be wrong")
	}
	if n := r.Counts; n.Operations < 100_000 || n.Clients != 256 {
		t.Errorf("%d operations of %d clients", n.Operations, n.Clients)
	}
	for _, kind := range []string{
		"checkout 200", "checkout 400", "checkout 404", "checkout 409", "checkout 410", "checkout 503", "checkout without answer",
		"purchase 200", "purchase 202", "purchase 409", "purchase 410", "purchase 429", "purchase 503", "purchase without answer",
		"lookup 200", "lookup 404", "lookup 409", "lookup 429", "lookup without answer",
	} {
		if r.Counts.Answers[kind] == 0 {
			t.Errorf("the history has no %s", kind)
		}
	}
	effort.Figure(t, fmt.Sprintf("a history of %d operations is checked in", r.Counts.Operations), r.Witness+r.Porcupine, time.Minute)
}

func drawSetting(t *rapid.T) setting {
	return setting{
		seed: rapid.Uint64().Draw(t, "seed"), operations: rapid.IntRange(1, 600).Draw(t, "operations"),
		clients: rapid.IntRange(1, 40).Draw(t, "clients"), users: rapid.IntRange(1, 12).Draw(t, "users"),
		stock: rapid.IntRange(1, 40).Draw(t, "stock"), limit: rapid.IntRange(1, 4).Draw(t, "limit"),
		lost: share(t, "lost"), failed: share(t, "failed"), forgets: share(t, "forgets"), lookups: share(t, "lookups"),
	}
}

func share(t *rapid.T, name string) float64 {
	return float64(rapid.IntRange(0, 40).Draw(t, name)) / 100
}

func TestCorrectSalesAreClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulate(drawSetting(t))
		if r := check.Check(h, options()); !r.OK {
			t.Fatal(text(t, r))
		}
	})
}

// What is saved is judged as what was seen, in whatever order it was recorded.
func TestSavedHistoriesAreTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSetting(t)
		h := simulate(s)
		h.Operations[0].Body = []byte{0xff, 0, '<'}
		var b bytes.Buffer
		if err := check.Write(&b, h); err != nil {
			t.Fatal(err)
		}
		file := b.String()
		got, err := check.Read(&b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, h) {
			t.Fatalf("read %+v, wrote %+v", got, h)
		}
		lines := strings.SplitAfter(file, "\n")
		cut := strings.Join(lines[:len(lines)-2], "")
		if _, err := check.Read(strings.NewReader(cut)); err == nil {
			t.Fatal("a file that was cut was read")
		}
		missing := strings.Join(append(append([]string(nil), lines[:1]...), lines[2:]...), "")
		if _, err := check.Read(strings.NewReader(missing)); err == nil {
			t.Fatal("a file without its second line was read")
		}
	})
}

func TestOrderOfRecordsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSetting(t)
		h := simulate(s)
		r := rand.New(rand.NewPCG(s.seed, 1))
		l := &h.Ledgers[0]
		r.Shuffle(len(h.Operations), func(i, j int) { h.Operations[i], h.Operations[j] = h.Operations[j], h.Operations[i] })
		r.Shuffle(len(l.Decisions), func(i, j int) { l.Decisions[i], l.Decisions[j] = l.Decisions[j], l.Decisions[i] })
		r.Shuffle(len(l.Sold), func(i, j int) { l.Sold[i], l.Sold[j] = l.Sold[j], l.Sold[i] })
		if r := check.Check(h, options()); !r.OK {
			t.Fatal(text(t, r))
		}
	})
}
