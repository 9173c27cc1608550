package edge

import (
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// reserved is how many of the process's descriptors are not for connections of
// the shop's clients: those of the stores, some dozens, of the operations
// listener, and files, which must be had when there is a crowd, too.
const reserved = 256

// mostConnections is how many connections the process's limit of descriptors
// leaves for clients; at least half of it.
func mostConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt32
	}
	most := int(min(limit.Cur, math.MaxInt32))
	return max(most-reserved, most/2)
}

// connections is a listener with a limit: once as many connections are open, who
// connects waits in the kernel's backlog. Before that, beyond three quarters of
// it, those on which no request is under way are closed, and none is kept after
// its answer, until less than half is open. On others something must come within
// headerTimeout.
type connections struct {
	net.Listener

	most func() int      // asked for each connection: the limit may be changed
	keep func(bool)      // whether connections are kept, from now on
	log  *slog.Logger    // hears of changes of state
	gone <-chan struct{} // closed by Close
	stop func()          // closes gone

	crowded, failing bool // used by Accept, which is not called at once with itself

	mu    sync.Mutex
	open  int           // guarded by mu
	freed chan struct{} // of one place: a connection has been closed
}

func newConnections(l net.Listener, most func() int, keep func(bool), log *slog.Logger) *connections {
	gone := make(chan struct{})
	return &connections{
		Listener: l, most: most, keep: keep, log: log, gone: gone, stop: sync.OnceFunc(func() { close(gone) }), freed: make(chan struct{}, 1),
	}
}

// Accept is net.Listener's.
func (l *connections) Accept() (net.Conn, error) {
	for !l.room() {
		select {
		case <-l.freed:
		case <-l.gone:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	l.tell(err)
	return conn, err
}

// Close is net.Listener's.
func (l *connections) Close() error {
	l.stop()
	return l.Listener.Close()
}

// changed counts; it is the server's ConnState, which is called before the
// server accepts again.
func (l *connections) changed(_ net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state { //nolint:exhaustive // open in all others
	case http.StateNew:
		l.open++
	case http.StateClosed:
		l.open--
		select {
		case l.freed <- struct{}{}:
		default: // it is awake
		}
	}
}

// room reports whether one more may be open.
func (l *connections) room() bool {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	most := l.most()
	switch {
	case !l.crowded && open >= most-most/4:
		l.crowded = true
		l.keep(false)
		l.log.Warn("many connections are open: idle ones are closed; at the limit, new ones wait", "open", open, "limit", most)
	case l.crowded && open < most/2:
		l.crowded = false
		l.keep(true)
		l.log.Info("connections are kept again", "open", open, "limit", most)
	}
	return open < most
}

// tell warns when connections cannot be taken, and says when they can again.
func (l *connections) tell(err error) {
	select {
	case <-l.gone:
		return // the end is no failure
	default:
	}
	switch {
	case err != nil && !l.failing:
		l.log.Warn("no connections are taken, trying on", "error", err)
	case err == nil && l.failing:
		l.log.Info("connections are taken again")
	}
	l.failing = err != nil
}
