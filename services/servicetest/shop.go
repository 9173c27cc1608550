//go:build unix

package servicetest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Answer is an HTTP answer, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Decode reads the JSON body.
func (a Answer) Decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, into); err != nil {
		t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
}

// Shop is a client of an edge. It may be used by any number of goroutines.
type Shop struct {
	Base   string // http://host:port
	client *http.Client
}

const (
	requestTime = Patience
	maxIdle     = 1024 // connections that are kept for the next crowd
)

// NewShop returns a client of the edge at this address, host:port. Its idle
// connections are closed when the test ends.
func NewShop(t testing.TB, address string) *Shop {
	transport := &http.Transport{MaxIdleConnsPerHost: maxIdle, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &Shop{Base: "http://" + address, client: &http.Client{Timeout: requestTime, Transport: transport}}
}

// Do sends a request without a body. The target's query goes out as it is
// given, valid or not.
func (s *Shop) Do(method, target string, headers ...string) (Answer, error) {
	base, err := url.Parse(s.Base)
	if err != nil {
		return Answer{}, err
	}
	base.Path, base.RawQuery, _ = strings.Cut(target, "?")
	request := &http.Request{Method: method, URL: base, Host: base.Host, Header: http.Header{}}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return s.Send(request)
}

// Send sends any request.
func (s *Shop) Send(request *http.Request) (Answer, error) {
	response, err := s.client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Answer{Status: response.StatusCode, Header: response.Header, Body: body}, err
}

// Get fails the test when no answer comes.
func (s *Shop) Get(t testing.TB, target string) Answer {
	t.Helper()
	return s.must(t, http.MethodGet, target)
}

// Post fails the test when no answer comes.
func (s *Shop) Post(t testing.TB, target string) Answer {
	t.Helper()
	return s.must(t, http.MethodPost, target)
}

func (s *Shop) must(t testing.TB, method, target string) Answer {
	t.Helper()
	a, err := s.Do(method, target)
	if err != nil {
		t.Fatalf("%s %.100s: %v", method, target, err)
	}
	return a
}

// AtOnce posts all targets at the same moment and returns the answers.
func (s *Shop) AtOnce(t testing.TB, targets []string) []Answer {
	t.Helper()
	answers := make([]Answer, len(targets))
	errs := make([]error, len(targets))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, target := range targets {
		wg.Go(func() {
			<-start
			answers[i], errs[i] = s.Do(http.MethodPost, target)
		})
	}
	close(start)
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("POST %s: %v", targets[i], err)
		}
	}
	return answers
}

// Statuses counts answers by their status.
func Statuses(answers []Answer) map[int]int {
	counts := map[int]int{}
	for i := range answers {
		counts[answers[i].Status]++
	}
	return counts
}

// CheckoutPath is the target of a checkout.
func CheckoutPath(user string, item int64) string {
	return "/checkout?user_id=" + url.QueryEscape(user) + "&id=" + strconv.FormatInt(item, 10)
}

// PurchasePath is the target of a purchase, and of the question for its
// decision.
func PurchasePath(code string) string { return "/purchase?code=" + url.QueryEscape(code) }

// Checkout is the body of a checkout that got a code.
type Checkout struct {
	Code    string    `json:"code"`
	Item    int64     `json:"item"`
	Sale    int64     `json:"sale"`
	UserID  string    `json:"user_id"`
	Expires time.Time `json:"expires"`
}

// Checkout checks an item out and fails the test when it gets no code.
func (s *Shop) Checkout(t testing.TB, user string, item int64) Checkout {
	t.Helper()
	a := s.Post(t, CheckoutPath(user, item))
	if a.Status != http.StatusOK {
		t.Fatalf("checkout of item %d by %s: %d %s", item, user, a.Status, a.Body)
	}
	var c Checkout
	a.Decode(t, &c)
	if c.Code == "" || c.Item != item || c.UserID != user {
		t.Fatalf("checkout of item %d by %s: %s", item, user, a.Body)
	}
	return c
}

// Purchase posts a code.
func (s *Shop) Purchase(t testing.TB, code string) Answer {
	t.Helper()
	return s.Post(t, PurchasePath(code))
}

// Sale is a sale as the API shows it.
type Sale struct {
	ID        int64     `json:"id"`
	OpensAt   time.Time `json:"opens_at"`
	Stock     int       `json:"stock"`
	Sold      int       `json:"sold"`
	State     string    `json:"state"`
	FirstItem int64     `json:"first_item"`
	LastItem  int64     `json:"last_item"`
	UserLimit int       `json:"user_limit"`
}

// Sales lists the sales as GET /sales does.
func (s *Shop) Sales(t testing.TB) []Sale {
	t.Helper()
	a := s.Get(t, "/sales")
	if a.Status != http.StatusOK {
		t.Fatalf("GET /sales: %d %s", a.Status, a.Body)
	}
	var list []Sale
	a.Decode(t, &list)
	return list
}

// FirstSale waits until a sale is open, and returns the newest.
func (s *Shop) FirstSale(t testing.TB) Sale {
	t.Helper()
	var list []Sale
	Eventually(t, "a sale is open", func() bool {
		list = s.Sales(t)
		return len(list) > 0
	})
	return list[0]
}

// Problem is the body of a refusal, as RFC 9457 has it.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Retryable *bool  `json:"retryable"`
	Position  int64  `json:"position"`
	Time      string `json:"time"`
}
