//go:build unix

package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
)

// row is one line of the table: a figure of both.
type row struct {
	name   string
	format string
	of     func(*figures) float64
	ratio  string // which way round the ratio reads; empty: only notsale has the figure
}

var rows = []row{
	{"requests/s", "%.0f", requestsPerSecond, "%.2f"},
	{"sell-out, s", "%.2f", func(f *figures) float64 { return f.wall.Seconds() }, "%.1f"},
	{"checkout p50, ms", "%.1f", func(f *figures) float64 { return f.checkout.P50 }, "%.1f"},
	{"checkout p99, ms", "%.1f", func(f *figures) float64 { return f.checkout.P99 }, "%.1f"},
	{"purchase p50, ms", "%.1f", func(f *figures) float64 { return f.purchase.P50 }, "%.1f"},
	{"purchase p99, ms", "%.1f", func(f *figures) float64 { return f.purchase.P99 }, "%.1f"},
	{"ledger complete after, s", "%.2f", func(f *figures) float64 { return f.ledger.Seconds() }, ""},
	{"attempts complete after, s", "%.2f", func(f *figures) float64 { return f.attempts.Seconds() }, ""},
}

// median of one figure over the rounds.
func median(rounds []figures, of func(*figures) float64) float64 {
	values := make([]float64, len(rounds))
	for i := range rounds {
		values[i] = of(&rounds[i])
	}
	slices.SortFunc(values, cmp.Compare[float64])
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// print writes the Markdown table.
func (o *options) print(w io.Writer, bare, sale []figures, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %d rounds: %d items, %d connections; %d CPUs shared with the client, %s, %s/%s, %s.\n\n",
		len(bare), o.stock, o.clients, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, now.Format(time.DateOnly))
	b.WriteString("| | bare Gin | notsale | notsale ÷ bare |\n|---|---:|---:|---:|\n")
	for _, r := range rows {
		n := median(sale, r.of)
		if r.ratio == "" {
			fmt.Fprintf(&b, "| %s | – | "+r.format+" | – |\n", r.name, n)
			continue
		}
		m := median(bare, r.of)
		fmt.Fprintf(&b, "| %s | "+r.format+" | "+r.format+" | "+r.ratio+" |\n", r.name, m, n, n/m)
	}
	long := median(bare, func(f *figures) float64 { return f.long })
	fmt.Fprintf(&b, "\nOver %d times as many requests the bare handler serves %.0f requests/s (%s): notsale's sell-out has %.2f of that.\n",
		longFactor, long, spread(bare, func(f *figures) float64 { return f.long }), median(sale, requestsPerSecond)/long)
	fmt.Fprintf(&b, "\nRequests/s from round to round: bare %s, notsale %s. A ratio is no surer than these.\n",
		spread(bare, requestsPerSecond), spread(sale, requestsPerSecond))
	_, err := io.WriteString(w, b.String())
	return err
}

func requestsPerSecond(f *figures) float64 { return f.requestsPerSecond }

// spread of one figure over the rounds.
func spread(rounds []figures, of func(*figures) float64) string {
	least, most := of(&rounds[0]), of(&rounds[0])
	for i := range rounds {
		least, most = min(least, of(&rounds[i])), max(most, of(&rounds[i]))
	}
	return fmt.Sprintf("%.0f to %.0f", least, most)
}
