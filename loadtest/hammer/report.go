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

// report is what hammer prints; its JSON is for other programs.
type report struct {
	Target            string            `json:"target"`
	Sale              int64             `json:"sale"`
	Stock             int               `json:"stock"`
	SoldBefore        int               `json:"sold_before"`
	Clients           int               `json:"clients"`
	Users             int               `json:"users"`
	Limit             int               `json:"limit"`
	Contention        int               `json:"contention"`
	Seed              uint64            `json:"seed"`
	Tries             int               `json:"tries"` // to buy one item as one user
	Granted           int               `json:"granted"`
	WallSeconds       float64           `json:"wall_s"`
	RequestsPerSecond float64           `json:"requests_per_s"`
	SalesPerSecond    float64           `json:"sales_per_s"`
	Checkout          shopper.Endpoint  `json:"checkout"`
	Purchase          shopper.Endpoint  `json:"purchase"`
	Journey           shopper.Latency   `json:"journey"` // checkout to final answer
	Checks            []shopper.Verdict `json:"checks"`
	OK                bool              `json:"ok"`
}

func newReport(res *shopper.Result, checks []shopper.Verdict) *report {
	granted := res.Granted()
	return &report{
		Target:            res.Config.Target,
		Sale:              res.Sale.ID,
		Stock:             res.Sale.Stock,
		SoldBefore:        res.Sale.Sold,
		Clients:           res.Config.Clients,
		Users:             res.Users,
		Limit:             res.Config.Limit,
		Contention:        res.Config.Contention,
		Seed:              res.Config.Seed,
		Tries:             len(res.Outcomes),
		Granted:           granted,
		WallSeconds:       res.Wall.Seconds(),
		RequestsPerSecond: res.RequestsPerSecond(),
		SalesPerSecond:    float64(granted) / res.Wall.Seconds(),
		Checkout:          res.Checkout,
		Purchase:          res.Purchase,
		Journey:           res.Journey,
		Checks:            checks,
		OK:                !slices.ContainsFunc(checks, func(v shopper.Verdict) bool { return !v.OK }),
	}
}

func (r *report) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "sale %d of %s: %d items, %d sold before; %d clients, %d users, %d rivals per item, seed %d\n",
		r.Sale, r.Target, r.Stock, r.SoldBefore, r.Clients, r.Users, r.Contention, r.Seed)
	fmt.Fprintf(&b, "%d sold in %.2f s: %.0f requests/s, %.0f sales/s\n\n",
		r.Granted, r.WallSeconds, r.RequestsPerSecond, r.SalesPerSecond)

	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\trequests\tp50 ms\tp90 ms\tp99 ms\tmax ms\t")
	printLatency(tw, "checkout", r.Checkout.Requests, r.Checkout.Latency)
	printLatency(tw, "purchase", r.Purchase.Requests, r.Purchase.Latency)
	printLatency(tw, "both, with retries", r.Tries, r.Journey)
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(&b)
	printStatuses(&b, "checkout", &r.Checkout)
	printStatuses(&b, "purchase", &r.Purchase)
	fmt.Fprintln(&b)
	for _, v := range r.Checks {
		mark := "ok    "
		if !v.OK {
			mark = "FAILED"
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", mark, v.Name, v.Detail)
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
