package edge

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	rejections *prometheus.CounterVec
	panics     prometheus.Counter
	skew       prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, cacheFailures func() float64) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notsale_edge_requests_total", Help: "HTTP requests, by route and status.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "notsale_edge_request_seconds", Help: "Time of an HTTP request, by route.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}, []string{"route"}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notsale_edge_rejections_total", Help: "Purchases refused without the stream, by reason.",
		}, []string{"reason"}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notsale_edge_clock_skew_seconds", Help: "Largest difference between this clock and one by which NATS stamps requests.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_edge_panics_total", Help: "Requests that ended in a panic."}),
	}
	reg.MustRegister(m.requests, m.seconds, m.rejections, m.panics, m.skew,
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "notsale_edge_cache_failures_total", Help: "Calls to the rejection cache that failed."}, cacheFailures))
	return m
}

// statusLeft counts requests whose client has closed its connection, or its half
// of it, before the answer. It is never sent.
const statusLeft = 499

// statusLimit bounds the table of counters below.
const statusLimit = 600

// route returns a middleware that measures one route. Its counters are looked
// up once per status, not per request.
func (m *metrics) route(name string) gin.HandlerFunc {
	seconds := m.seconds.WithLabelValues(name)
	var counters [statusLimit]prometheus.Counter
	for status := 100; status < statusLimit; status++ {
		if known[status] {
			counters[status] = m.requests.WithLabelValues(name, strconv.Itoa(status))
		}
	}
	return func(c *gin.Context) {
		started := time.Now()
		c.Next()
		seconds.Observe(time.Since(started).Seconds())
		if !c.Writer.Written() && c.Writer.Status() == http.StatusOK {
			refuse(c, problemInternal, "Send the same request again.") // no code wrote an answer; net/http would say 200
		}
		status := c.Writer.Status()
		if c.Request.Context().Err() != nil {
			status = statusLeft
		}
		if status < statusLimit && counters[status] != nil {
			counters[status].Inc()
			return
		}
		m.requests.WithLabelValues(name, strconv.Itoa(status)).Inc()
	}
}

// known are the statuses of the table of answers.
var known = func() (list [statusLimit]bool) {
	for _, status := range []int{200, 202, 204, 304, 400, 403, 404, 405, 408, 409, 410, 413, 429, statusLeft, 500, 503} {
		list[status] = true
	}
	return list
}()
