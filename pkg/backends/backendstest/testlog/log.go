// Package testlog keeps what programs say for the tests that read it.
package testlog

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// Log is a log, or what a child process says, that can be read while any number
// of goroutines write to it.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write adds to it.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count is how often these words were written.
func (l *Log) Count(words string) int { return strings.Count(l.String(), words) }

// Logger writes to it, one message a line.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
