//go:build unix

package edge_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"notsale/services/edge"
	"notsale/services/servicetest"
)

// lastResort is when a test gives up waiting on a socket.
const lastResort = time.Minute

// dial opens a connection to the edge and sends what is given.
func (f *front) dial(text string) net.Conn {
	f.T.Helper()
	var d net.Dialer
	conn, err := d.DialContext(f.T.Context(), "tcp", strings.TrimPrefix(f.Base, "http://"))
	if err == nil {
		f.T.Cleanup(func() { _ = conn.Close() })
		err = errors.Join(conn.SetDeadline(time.Now().Add(lastResort)), write(conn, text))
	}
	if err != nil {
		f.T.Fatal(err)
	}
	return conn
}

func write(conn net.Conn, text string) error {
	_, err := io.WriteString(conn, text)
	return err
}

// checkClosed waits until the edge has closed the connection.
func checkClosed(t *testing.T, name string, from io.Reader) {
	t.Helper()
	if _, err := io.Copy(io.Discard, from); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the connection is still open", name)
	}
}

// A body that is announced and never sent holds neither a descriptor nor a
// goroutine, on any path.
func TestABodyThatIsNeverSentHoldsNoConnection(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(20, 10)
	var all sync.WaitGroup
	for request, status := range map[string]int{
		"POST /checkout?user_id=ann&id=8|Content-Length: 17|":                         http.StatusRequestTimeout,
		"POST /checkout?user_id=ann&id=8|Content-Length: 17|eight by":                 http.StatusRequestTimeout,
		"POST /checkout?user_id=ann&id=8|Transfer-Encoding: chunked|11\r\nhalf":       http.StatusRequestTimeout,
		"POST /checkout?user_id=ann&id=8|Expect: 100-continue\r\nContent-Length: 17|": http.StatusContinue,
		"POST /checkout?user_id=ann&id=8|Content-Length: 5000|":                       http.StatusRequestEntityTooLarge,
		"POST /checkout?user_id=ann&id=8|Content-Length: 999999999999|":               http.StatusRequestEntityTooLarge,
		"POST /checkout?user_id=ann&id=8|Transfer-Encoding: chunked|1\r\nxyz":         http.StatusBadRequest,
		"POST /purchase?code=x|Content-Length: 17|":                                   http.StatusRequestTimeout,
		"GET /purchase?code=x|Content-Length: 17|":                                    http.StatusRequestTimeout,
		"GET /sales|Content-Length: 17|":                                              http.StatusRequestTimeout,
		"HEAD /|Content-Length: 17|":                                                  http.StatusRequestTimeout,
		"DELETE /purchase|Content-Length: 17|":                                        http.StatusRequestTimeout,
		"GET /nowhere|Transfer-Encoding: chunked|":                                    http.StatusRequestTimeout,
		"OPTIONS *|Content-Length: 17|":                                               http.StatusRequestTimeout,
		"OPTIONS *|Transfer-Encoding: chunked|":                                       http.StatusRequestTimeout,
		"OPTIONS *|Connection: close|":                                                http.StatusNotFound,
		"POST /checkout?user_id=ann&id=8|Expect: foo\r\nContent-Length: 17|":          http.StatusExpectationFailed,
		"GET /livez|Expect: foo\r\nTransfer-Encoding: chunked|":                       http.StatusExpectationFailed,
	} {
		all.Go(func() {
			part := strings.SplitN(request, "|", 3)
			conn := bufio.NewReader(f.dial(part[0] + " HTTP/1.1\r\nHost: shop\r\n" + part[1] + "\r\n\r\n" + part[2]))
			answer, err := http.ReadResponse(conn, nil)
			if err != nil {
				t.Errorf("%s: %v", request, err)
				return
			}
			_ = answer.Body.Close()
			if answer.StatusCode != status || status >= 400 && !answer.Close {
				t.Errorf("%s: %s, closing: %t, want %d and the end of the connection", request, answer.Status, answer.Close, status)
			}
			checkClosed(t, request, conn)
		})
	}
	all.Wait()
}

// However many connections somebody opens and sends nothing on, or keeps after an
// answer, others are served: there is a limit, and those give way.
func TestConnectionsOfOneClientLockNobodyOut(t *testing.T) {
	t.Parallel()
	const limit = 40
	f := newFront(t, func(c *edge.Config) { c.Connections = limit })
	f.OpenSale(20, 10)
	kept := make([]net.Conn, 0, limit)
	for range limit {
		conn := f.dial("GET /livez HTTP/1.1\r\nHost: shop\r\n\r\n")
		if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		kept = append(kept, conn)
	}
	silent := make([]net.Conn, 0, 2*limit)
	for range 2 * limit {
		silent = append(silent, f.dial(""))
	}
	f.Checkout(t, "ann", 1)
	for _, conn := range append(kept[:limit/2], silent[0]) {
		checkClosed(t, "idle in a crowd", conn)
	}
	for _, conn := range append(kept, silent...) {
		_ = conn.Close()
	}
	f.Checkout(t, "bob", 2)
}

// Connections on which nothing comes, or half a request, or that nobody reads
// from, neither hold up a sale nor a stop. A request that has arrived is still
// answered.
func TestAStopWaitsForRequestsAndNotForConnections(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait = time.Minute })
	of := f.OpenSale(500, 10)
	c := f.Checkout(t, "ann", 1)
	answered := make(chan servicetest.Answer, 1)
	go func() {
		a, err := f.Do(http.MethodPost, servicetest.PurchasePath(c.Code))
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	looker := f.Stream("looker")
	servicetest.Eventually(t, "the request waits for its decision", func() bool {
		info, err := looker.Info(t.Context(), of.ID)
		return err == nil && info.Last == 2
	})
	const head = "POST /checkout?user_id=ann&id=8 HTTP/1.1\r\nHost: shop\r\n"
	stuck := map[string]net.Conn{
		"kept alive":               f.dial("GET /livez HTTP/1.1\r\nHost: shop\r\n\r\n"),
		"half of a second request": f.dial("GET /livez HTTP/1.1\r\nHost: shop\r\n\r\nGET /liv"),
		"nobody reads":             f.dial(strings.Repeat("GET /sales/1/items?limit=500 HTTP/1.1\r\nHost: shop\r\n\r\n", 300)),
	}
	for i := range 250 {
		stuck[fmt.Sprint("nothing ", i)] = f.dial("")
		stuck[fmt.Sprint("half a head ", i)] = f.dial(head)
		stuck[fmt.Sprint("no body ", i)] = f.dial(head + "Content-Length: 17\r\n\r\n")
		stuck[fmt.Sprint("half a body ", i)] = f.dial(head + "Transfer-Encoding: chunked\r\n\r\n11\r\nhalf")
	}
	f.Checkout(t, "bob", 2)
	stopped := make(chan struct{})
	go func() { f.Stop(); close(stopped) }()
	servicetest.Eventually(t, "the edge takes no new connections", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.Base, "http://")) //nolint:noctx // refused at once
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	f.Allocate()
	if a := <-answered; a.Status != http.StatusOK {
		t.Errorf("a request that waited when the edge was stopped: %d %s", a.Status, a.Body)
	}
	<-stopped
	for name, conn := range stuck {
		checkClosed(t, name, conn)
	}
}
