//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// natsLog hands the server's messages to a slog logger: notices at level debug,
// warnings and errors at their own. It remembers the last error, and a fatal
// one, which the server only logs, expecting the program to end; and that the
// disk was full, after which streams refuse everything until the next start.
type natsLog struct {
	log *slog.Logger

	mu    sync.Mutex // written by the server's goroutines, read by ours
	last  error
	fatal error
	full  error
}

func (l *natsLog) write(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, fmt.Sprintf(format, v...))
	}
}

func (l *natsLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *natsLog) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *natsLog) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }

func (l *natsLog) Warnf(format string, v ...any) {
	level := slog.LevelWarn
	if strings.HasPrefix(format, "Plaintext passwords") {
		level = slog.LevelDebug // it is random, and kept in a file of mode 0600
	}
	l.write(level, format, v)
}

func (l *natsLog) Errorf(format string, v ...any) {
	l.mu.Lock()
	l.last = fmt.Errorf(format, v...)
	if l.full == nil && slices.ContainsFunc(v, isNoSpace) {
		l.full = l.last
	}
	l.mu.Unlock()
	l.write(slog.LevelError, format, v)
}

func isNoSpace(v any) bool {
	err, ok := v.(error)
	return ok && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

func (l *natsLog) noSpace() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full
}

func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	l.last = fmt.Errorf(format, v...)
	l.fatal = l.last
	l.mu.Unlock()
	l.write(slog.LevelError, format, v)
}

func (l *natsLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *natsLog) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		return errors.New("it logged no error")
	}
	return l.last
}
