package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"notsale/loadtest/hammer/shopper"
)

// report writes the report for people.
func report(w io.Writer, res *shopper.Result, checks []shopper.Verdict) error {
	var b strings.Builder
	cfg := &res.Config
	fmt.Fprintf(&b, "sale %d of %s: %d items, %d sold before; %d clients, %d users, %d rivals per item, seed %d\n",
		res.Sale.ID, cfg.Target, res.Sale.Stock, res.Sale.Sold, cfg.Clients, res.Users, cfg.Contention, cfg.Seed)
	fmt.Fprintf(&b, "%d sold in %.2f s: %.0f requests/s, %.0f sales/s\n\n",
		res.Granted(), res.Wall.Seconds(), res.RequestsPerSecond(), float64(res.Granted())/res.Wall.Seconds())

	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\trequests\tp50 ms\tp90 ms\tp99 ms\tmax ms\t")
	printLatency(tw, "checkout", res.Checkout.Requests, res.Checkout.Latency)
	printLatency(tw, "purchase", res.Purchase.Requests, res.Purchase.Latency)
	printLatency(tw, "both, with retries", len(res.Outcomes), res.Journey)
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(&b)
	printStatuses(&b, "checkout", &res.Checkout)
	printStatuses(&b, "purchase", &res.Purchase)
	fmt.Fprintln(&b)
	for _, v := range checks {
		result := "ok    "
		if !v.OK {
			result = "FAILED"
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", result, v.Name, v.Detail)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printLatency(w io.Writer, name string, n int, l shopper.Latency) {
	fmt.Fprintf(w, "%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, n, l.P50, l.P90, l.P99, l.Max)
}

func printStatuses(w io.Writer, name string, e *shopper.Endpoint) {
	fmt.Fprintf(w, "%s answers:", name)
	for _, status := range slices.Sorted(maps.Keys(e.Statuses)) {
		label := fmt.Sprint(status)
		if status == 0 {
			label = "none (" + e.LastError + ")"
		}
		fmt.Fprintf(w, "  %s × %d", label, e.Statuses[status])
	}
	fmt.Fprintln(w)
}
