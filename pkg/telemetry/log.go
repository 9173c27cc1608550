package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// LogConfig says how log lines look.
type LogConfig struct {
	Format string // "text" or "json"
	Level  string // "debug", "info", "warn" or "error"
}

// DefaultLogConfig suits a person at a terminal.
func DefaultLogConfig() LogConfig { return LogConfig{Format: "text", Level: "info"} }

// NewLogger returns a logger that writes to w, and waits for it.
func NewLogger(w io.Writer, cfg LogConfig) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", cfg.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch cfg.Format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", cfg.Format)
}

const (
	// maxPending is how many bytes the reader of a log may be behind: some
	// thousands of lines, more than a busy second has.
	maxPending = 1 << 20
	// maxFlush is how long Close waits for the reader, which reads a megabyte in less
	// time if it reads at all.
	maxFlush = time.Second
)

// LogWriter is a queue between a logger and a file or pipe whose reader may be slow
// or gone. Write never waits: if the queue is full, the line is dropped and counted.
// Once lines can be written again, a warning says how many are missing.
type LogWriter struct {
	out  io.Writer
	warn *slog.Logger  // writes to out directly; used by run only
	wake chan struct{} // of one place: there are lines, or the end is near
	done chan struct{} // closed when all is written, after Close

	mu      sync.Mutex // guards what follows
	pending []byte     // whole lines
	closed  bool
	dropped uint64 // lines since the start
	warned  uint64 // of how many of them a warning was written
}

// NewServiceLogger returns a logger that never waits for w, and its LogWriter, which
// must be closed at the end.
func NewServiceLogger(w io.Writer, cfg LogConfig) (*slog.Logger, *LogWriter, error) {
	warn, err := NewLogger(w, cfg)
	if err != nil {
		return nil, nil, err
	}
	l := &LogWriter{out: w, warn: warn, wake: make(chan struct{}, 1), done: make(chan struct{})}
	log, err := NewLogger(l, cfg)
	if err != nil {
		return nil, nil, err
	}
	go l.run()
	return log, l, nil
}

// Write takes a line. It always succeeds.
func (l *LogWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.pending)+len(line) > maxPending {
		l.dropped++
		return len(line), nil
	}
	l.pending = append(l.pending, line...)
	l.notify()
	return len(line), nil
}

func (l *LogWriter) notify() {
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
}

// run writes what is pending, all of it at once, until Close.
func (l *LogWriter) run() {
	defer close(l.done)
	var chunk []byte
	for range l.wake {
		for {
			l.mu.Lock()
			chunk, l.pending = l.pending, chunk[:0]
			closed := l.closed
			l.mu.Unlock()
			if len(chunk) == 0 && closed {
				return
			}
			if len(chunk) == 0 {
				break
			}
			l.deliver(chunk)
		}
	}
}

func (l *LogWriter) deliver(chunk []byte) {
	n, err := l.out.Write(chunk)
	l.mu.Lock()
	if err != nil { // the reader is gone, or the disk is full
		l.dropped += uint64(bytes.Count(chunk[n:], []byte{'\n'}))
	}
	missing := l.dropped - l.warned
	if err == nil {
		l.warned = l.dropped
	}
	l.mu.Unlock()
	if err == nil && missing > 0 {
		l.warn.Warn("lines of this log were dropped: its reader was too slow or away", "lines", missing)
	}
}

// Dropped returns how many lines were dropped since the start.
func (l *LogWriter) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Collector is the metric of dropped lines.
func (l *LogWriter) Collector() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "notsale_log_dropped_lines_total", Help: "Log lines dropped because the log's reader was too slow or away.",
	}, func() float64 { return float64(l.Dropped()) })
}

// Close waits until all lines are written, but at most a second. What is logged
// later is dropped.
func (l *LogWriter) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.notify()
	select {
	case <-l.done:
	case <-time.After(maxFlush):
	}
}
