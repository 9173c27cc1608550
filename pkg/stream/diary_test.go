package stream_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// diary is a log that a test reads. Any goroutine may write to it.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *diary) logger() *slog.Logger { return slog.New(slog.NewTextHandler(d, nil)) }

// count is how many lines say this.
func (d *diary) count(words string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Count(d.text.String(), words)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}
