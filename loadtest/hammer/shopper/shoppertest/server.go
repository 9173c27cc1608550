package shoppertest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Fault is one way to be wrong; the zero value is none.
type Fault int

// The faults, each of which one of the checks must notice.
const (
	None         Fault = iota
	SellTwice          // an item is sold to all who ask
	NoLimit            // nobody is refused by the limit
	Undersell          // the last item is refused to all
	Forget             // a repeated code gets a new position
	Turncoat           // a refused code that is asked again is granted
	Oversell           // fresh codes of a sold-out sale are not refused with 410
	Unknown            // some checkouts answer 404
	Miscount           // /sales says that fewer were sold
	NeverFinal         // an item's purchase is pending for ever
	OtherWords         // a refusal by the limit does not say so
	SamePosition       // every sale has position 1
)

// Server is a sale. Configure it before it serves.
type Server struct {
	Stock, Limit int
	First        int64
	Fault        Fault
	Later        int // every so many requests are answered 503, 202 or with a cut connection; 0: none

	mu       sync.Mutex
	requests int
	position int64
	sold     int
	owner    map[int64]string
	bought   map[string]int
	decided  map[string]answer
}

type answer struct {
	status int
	body   string
}

// Sold says how many items were sold.
func (s *Server) Sold() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sold
}

// Handler serves the sale.
func (s *Server) Handler() http.Handler {
	s.owner, s.bought, s.decided = map[int64]string{}, map[string]int{}, map[string]answer{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /sales", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "[%s]", s.describe()) })
	mux.HandleFunc("GET /sales/1", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s.describe()) })
	mux.HandleFunc("POST /checkout", s.checkout)
	mux.HandleFunc("POST /purchase", s.purchase)
	return mux
}

func (s *Server) describe() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, sold := "open", s.sold
	if s.soldOut() {
		state = "sold_out"
	}
	if s.Fault == Miscount {
		sold /= 2
	}
	return fmt.Sprintf(`{"id":1,"opens_at":"2026-01-01T00:00:00Z","stock":%d,"sold":%d,"state":%q,"first_item":%d,"last_item":%d}`,
		s.Stock, sold, state, s.First, s.First+int64(s.Stock)-1)
}

func (s *Server) soldOut() bool { return len(s.owner) >= s.Stock }

// later answers some requests with a retry-safe failure.
func (s *Server) later(w http.ResponseWriter, pending bool) bool {
	s.mu.Lock()
	s.requests++
	n := s.requests
	s.mu.Unlock()
	if s.Later == 0 || n%s.Later != 0 {
		return false
	}
	switch n / s.Later % 3 {
	case 0:
		panic(http.ErrAbortHandler) // a reset
	case 1:
		if pending {
			w.WriteHeader(http.StatusAccepted)
			return true
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

func (s *Server) checkout(w http.ResponseWriter, r *http.Request) {
	if s.later(w, false) {
		return
	}
	user := r.URL.Query().Get("user_id")
	item, err := strconv.ParseInt(r.URL.Query().Get("id"), 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil || user == "":
		w.WriteHeader(http.StatusBadRequest)
	case item < s.First || item >= s.First+int64(s.Stock), s.Fault == Unknown && item == s.First:
		w.WriteHeader(http.StatusNotFound)
	case s.soldOut() && s.Fault != Oversell:
		w.WriteHeader(http.StatusGone)
	default:
		s.requests++
		fmt.Fprintf(w, `{"code":"%d.%d.%s","item":%d,"sale":1}`, s.requests, item, user, item)
	}
}

func (s *Server) purchase(w http.ResponseWriter, r *http.Request) {
	if s.later(w, true) {
		return
	}
	code := r.URL.Query().Get("code")
	parts := strings.SplitN(code, ".", 3)
	if len(parts) != 3 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	item, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.decide(code, parts[2], item)
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
}

func (s *Server) decide(code, user string, item int64) answer {
	s.position++
	a, repeated := s.decided[code]
	switch {
	case repeated && s.Fault == Turncoat && a.status >= 400, repeated && s.Fault == Forget && a.status == 200:
		return s.granted(item)
	case repeated:
		return a
	}
	a = s.apply(user, item)
	s.decided[code] = a
	return a
}

func (s *Server) apply(user string, item int64) answer {
	_, taken := s.owner[item]
	switch {
	case s.Fault == NeverFinal && item == s.First:
		return answer{http.StatusAccepted, ""}
	case s.soldOut() && s.Fault == Oversell:
		return answer{http.StatusConflict, `{"title":"Taken"}`}
	case s.soldOut(), s.Fault == Undersell && item == s.First:
		return answer{http.StatusGone, `{"title":"Sold out"}`}
	case s.bought[user] >= s.Limit && s.Fault == OtherWords:
		return answer{http.StatusTooManyRequests, `{"title":"No"}`}
	case s.bought[user] >= s.Limit && s.Fault != NoLimit:
		return answer{
			http.StatusTooManyRequests,
			fmt.Sprintf(`{"detail":"User has reached the maximum of %d items per sale"}`, s.Limit),
		}
	case taken && s.Fault != SellTwice:
		return answer{http.StatusConflict, `{"title":"Taken"}`}
	}
	s.owner[item] = user
	s.bought[user]++
	s.sold++
	return s.granted(item)
}

func (s *Server) granted(item int64) answer {
	position := s.position
	if s.Fault == SamePosition {
		position = 1
	}
	return answer{http.StatusOK, fmt.Sprintf(
		`{"message":"Purchase successful","status":"success","item":%d,"sale":1,"position":%d,"time":"2026-01-01T00:00:00Z"}`,
		item, position)}
}
