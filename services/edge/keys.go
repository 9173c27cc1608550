package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"notsale/pkg/boot"
	"notsale/pkg/code"
)

const (
	// keysWatch is how often an edge looks into its key file.
	keysWatch = 2 * time.Second
	// DefaultKeysDelay is longer than a changed secret takes to reach all
	// containers of a Kubernetes cluster (two minutes).
	DefaultKeysDelay = 5 * time.Minute
)

// KeyFile is the file of an edge's keys, and the ring of them. A key that is added to
// the file verifies codes at once, and signs after a delay in which all other edges
// learn it. A key that leaves the file verifies until the process ends; so do all
// while the file cannot be read.
type KeyFile struct {
	path  string
	delay time.Duration

	ring *code.Keyring // this and what follows belong to watch once it runs
	text []byte        // as learnt last
	next uint32        // the last key of the file, which is to sign
	due  time.Time     // when; zero: it signs already

	broken atomic.Bool // the file cannot be used; written by watch
}

// OpenKeys reads the key file of an edge.
func OpenKeys(path string, delay time.Duration) (*KeyFile, error) {
	if path == "" {
		return nil, errors.New("--code-keys is not set: all edges need the same key file (`notsale up` makes one in its data folder)")
	}
	f := &KeyFile{path: path, delay: delay}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("--code-keys: %w", err)
	}
	text, list, err := f.read()
	if err != nil {
		return nil, err
	}
	f.text = text
	if f.ring, err = code.NewKeyring(list); err != nil {
		return nil, fmt.Errorf("--code-keys %s: %w", path, err)
	}
	// In a file that has just been changed, the last key may be new to others.
	if due := info.ModTime().Add(delay); len(list) > 1 && time.Now().Before(due) {
		f.ring = f.ring.SigningWith(signsFirst(list))
		f.next, f.due = list[len(list)-1].ID, due
	}
	return f, nil
}

// signsFirst is the key with which an edge signs that starts when the file has
// just been changed: the last but one, or the only one.
func signsFirst(list []code.Key) uint32 { return list[max(0, len(list)-2)].ID }

// read gives no keys when the file says what was learnt last.
func (f *KeyFile) read() (text []byte, list []code.Key, err error) {
	text, err = os.ReadFile(f.path)
	if err != nil {
		return nil, nil, fmt.Errorf("--code-keys: %w", err)
	}
	if bytes.Equal(text, f.text) {
		return text, nil, nil
	}
	if list, err = code.ParseKeys(text); err != nil {
		return nil, nil, fmt.Errorf("--code-keys %s: %w", f.path, err)
	}
	return text, list, nil
}

// Ring is made of what the file has and had.
func (f *KeyFile) Ring() *code.Keyring { return f.ring }

func (f *KeyFile) unusable() float64 {
	if f.broken.Load() {
		return 1
	}
	return 0
}

// watch follows the file until ctx ends, and looks at once at a SIGHUP.
func (f *KeyFile) watch(ctx context.Context, use func(*code.Keyring), log *slog.Logger) error {
	hangups, restore := boot.Hangups()
	defer restore()
	tick := time.NewTicker(keysWatch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
		case <-tick.C:
		}
		f.Follow(time.Now(), log)
		use(f.ring)
	}
}

// Follow brings the ring up to the file.
func (f *KeyFile) Follow(now time.Time, log *slog.Logger) {
	text, list, err := f.read()
	before := f.ring
	var ring *code.Keyring
	if err == nil {
		ring, err = before.With(list)
	}
	if err != nil {
		if !f.broken.Swap(true) {
			log.Warn("the code keys cannot be read again, those known before stay in use", "error", err)
		}
		return
	}
	f.ring, f.text = ring, text
	f.broken.Store(false)
	if list != nil {
		if first := signsFirst(list); f.delay > 0 && !before.Has(first) {
			log.Warn("an edge that starts now signs with a key that other edges may not know yet, and they refuse its codes: leave the former key in the file until the new one signs, and add one at a time", "key", first)
		}
		f.appoint(list[len(list)-1].ID, now)
		log.Info("code keys read again", "keys", len(list), "key that signs", f.ring.Signing(), "next", f.next, "from", f.due)
	}
	if !f.due.IsZero() && !now.Before(f.due) {
		f.ring = f.ring.SigningWith(f.next)
		f.due = time.Time{}
		log.Info("codes are signed with another key", "key", f.next)
	}
}

// appoint says which key is to sign next. The delay of one that waits goes on.
func (f *KeyFile) appoint(id uint32, now time.Time) {
	switch {
	case id == f.ring.Signing():
		f.due = time.Time{}
	case id != f.next || f.due.IsZero():
		f.due = now.Add(f.delay)
	}
	f.next = id
}
