package shopper

import (
	"net/http"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"notsale/pkg/client"
)

// Result is what a run saw.
type Result struct {
	Config   Config
	Sale     client.Sale // as it was before the run
	Users    int
	Wall     time.Duration
	Checkout Endpoint
	Purchase Endpoint
	Journey  Latency   // checkout to final answer, retries and their waits included
	Outcomes []Outcome // in no order
	// Attempts are the checkouts that the system must have recorded: those
	// answered, but for "later".
	Attempts int

	held []Outcome
}

// Endpoint is what was seen of one endpoint, every try counted.
type Endpoint struct {
	Requests  int         `json:"requests"`
	Statuses  map[int]int `json:"statuses"` // counts by status; 0: no answer came
	Latency   Latency     `json:"latency"`
	LastError string      `json:"last_error,omitempty"` // why no answer came, one example
}

// Latency in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// RequestsPerSecond counts every try of both endpoints.
func (r *Result) RequestsPerSecond() float64 {
	return float64(r.Checkout.Requests+r.Purchase.Requests) / r.Wall.Seconds()
}

// Granted counts the sales.
func (r *Result) Granted() int {
	n := 0
	for i := range r.Outcomes {
		if r.Outcomes[i].Granted() {
			n++
		}
	}
	return n
}

func newResult(r *run, wall time.Duration, prep *buyer, buyers []*buyer) *Result {
	res := &Result{Config: r.cfg, Sale: r.sale, Users: len(r.names), Wall: wall, held: prep.outcomes}
	journeys := newHistogram()
	for _, b := range buyers {
		res.Outcomes = append(res.Outcomes, b.outcomes...)
		for _, d := range b.journeys {
			record(journeys, d)
		}
	}
	res.Journey = summarize(journeys)
	res.Checkout = newEndpoint(buyers, func(b *buyer) *tally { return &b.checkout })
	res.Purchase = newEndpoint(buyers, func(b *buyer) *tally { return &b.purchase })
	res.Attempts = attempts(res.Checkout.Statuses) + attempts(prep.checkout.statuses)
	return res
}

func newEndpoint(buyers []*buyer, of func(*buyer) *tally) Endpoint {
	e := Endpoint{Statuses: map[int]int{}}
	h := newHistogram()
	for _, b := range buyers {
		t := of(b)
		for status, n := range t.statuses {
			e.Statuses[status] += n
			e.Requests += n
		}
		for _, d := range t.latencies {
			record(h, d)
		}
		if t.lastError != nil {
			e.LastError = t.lastError.Error()
		}
	}
	e.Latency = summarize(h)
	return e
}

// attempts counts the answers that leave exactly one recorded attempt.
func attempts(statuses map[int]int) int {
	n := 0
	for status, count := range statuses {
		switch status {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusGone:
			n += count
		}
	}
	return n
}

// longest is the longest latency that a histogram tells apart.
const longest = 2 * time.Minute

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest.Microseconds(), 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(d, longest).Microseconds()) // fails only beyond longest
}

func summarize(h *hdrhistogram.Histogram) Latency {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Latency{
		P50: ms(h.ValueAtQuantile(50)),
		P90: ms(h.ValueAtQuantile(90)),
		P99: ms(h.ValueAtQuantile(99)),
		Max: ms(h.Max()),
	}
}
