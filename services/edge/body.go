package edge

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
)

// Limits of a request's body. All parameters are in the URL; what clients send
// beside them, a form's fields or an empty object, is read and ignored.
const (
	maxBody = 4 << 10
	// bodyTimeout is how long a body may take to arrive, and one that is too large
	// to be skipped: every read has a deadline.
	bodyTimeout = 2 * time.Second
)

var (
	errLargeBody  = errors.New("edge: the body is larger than any that is read")
	errSlowBody   = errors.New("edge: the body did not arrive in time")
	errBrokenBody = errors.New("edge: the body is wrongly encoded, or was cut off")
)

// arrived reads the body, ignores it, and counts the request as one that a stop
// waits for, until it is answered. It must be answered after an error, too; then its
// connection is closed.
func (e *Edge) arrived(c *gin.Context) error {
	err := passBody(c)
	e.open.Add(1)
	c.Writer = &answering{ResponseWriter: c.Writer, open: &e.open}
	return err
}

func passBody(c *gin.Context) error {
	r := c.Request
	if r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength < 0 { // a proxy may see its end elsewhere: nothing may follow on this connection
		c.Header("Connection", "close")
	}
	control := http.NewResponseController(c.Writer)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // fails where the read does
	err := errLargeBody
	if r.ContentLength <= maxBody {
		err = discard(r.Body)
	}
	if err == nil {
		_ = control.SetReadDeadline(time.Time{}) // from here on a read only notices that the client leaves
		return nil
	}
	c.Header("Connection", "close")
	if errors.Is(err, errLargeBody) { // who is still sending sees the answer if the rest is taken
		_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	return err
}

func discard(body io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(body, maxBody+1))
	var slow net.Error
	switch {
	case n > maxBody:
		return errLargeBody
	case errors.As(err, &slow) && slow.Timeout():
		return errSlowBody
	case err != nil:
		return errBrokenBody
	}
	return nil
}

// invalid says how to answer a request whose body or parameters are not acceptable.
func invalid(err error) (*problem, string) {
	switch {
	case errors.Is(err, errLargeBody):
		return problemBody, "Send the parameters in the URL. A body of up to 4096 bytes is ignored."
	case errors.Is(err, errSlowBody):
		return problemSlowBody, "Send the parameters in the URL, and no body."
	case errors.Is(err, errBrokenBody):
		return problemBrokenBody, "Send the parameters in the URL, and no body."
	}
	return problemParameter, err.Error()
}

// answering is a writer that knows when its request has its answer: a client
// that then does not read it is not waited for.
type answering struct {
	gin.ResponseWriter

	open *atomic.Int64 // requests without an answer; nil: this one has its own
}

// Unwrap is for http.ResponseController.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answering) Write(b []byte) (int, error) {
	a.answered()
	return a.ResponseWriter.Write(b)
}

func (a *answering) WriteHeaderNow() {
	a.answered()
	a.ResponseWriter.WriteHeaderNow()
}

func (a *answering) answered() {
	if a.open != nil {
		a.open.Add(-1)
		a.open = nil
	}
}
