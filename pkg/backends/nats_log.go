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

// natsLog passes the server's messages to a slog logger: notices at level debug,
// warnings and errors at their own. It remembers errors of which the server itself
// takes no notice, though it cannot serve.
type natsLog struct {
	log *slog.Logger

	mu   sync.Mutex
	seen natsErrors // guarded by mu
}

// natsErrors are errors that the server has logged; nil: none.
type natsErrors struct {
	last  error
	fatal error // the server expects the program to end
	full  error // the disk was full: streams refuse everything until the next start
}

func (l *natsLog) errors() natsErrors {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
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
	l.seen.last = fmt.Errorf(format, v...)
	if l.seen.full == nil && slices.ContainsFunc(v, isNoSpace) {
		l.seen.full = l.seen.last
	}
	l.mu.Unlock()
	l.write(slog.LevelError, format, v)
}

func isNoSpace(v any) bool {
	err, ok := v.(error)
	return ok && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	l.seen.last = fmt.Errorf(format, v...)
	l.seen.fatal = l.seen.last
	l.mu.Unlock()
	l.write(slog.LevelError, format, v)
}
