//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// folderWatch is how often to look whether the folders are still there. What is
// written in between is lost with a folder that was removed.
const folderWatch = time.Second

// pauses say when a part that ended by itself is started again.
type pauses struct {
	first, longest time.Duration // before a start; each is twice the one before
	steady         time.Duration // a part that ran so long has got over it, and begins with first again
	giveUp         time.Duration // how long a part may be in trouble
}

// usualPauses: the first is short, because the sale waits. A start that fails
// mostly does so at once, so that giving up means a dozen or more of them; it
// comes late enough for an operator's `rm` on a full disk.
var usualPauses = pauses{first: 50 * time.Millisecond, longest: 10 * time.Second, steady: 10 * time.Second, giveUp: 2 * time.Minute}

// part is a store that runs here, as the supervisor sees it.
type part struct {
	name string
	// ended gives a channel that closes when the current run ends by itself,
	// and a function that then says how.
	ended func() (<-chan struct{}, func() error)
	// restart starts it on the same data, port and password.
	restart func(context.Context) error
	// needed: nothing is sold without it. A cache is tried for ever.
	needed bool
}

// keep starts a part again whenever it has ended by itself, until Stop. It
// returns an error once there is no sense in trying on.
func (b *Backends) keep(ctx context.Context, p part, every pauses, log *slog.Logger) error {
	log = log.With("part", p.name)
	pause := every.first
	var trouble time.Time // when it ended first, since it last was steady
	tried := false        // to start it since then: a process that stood still gives up nothing untried
	for {
		ended, why := p.ended()
		began := time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
		}
		if trouble.IsZero() || time.Since(began) >= every.steady {
			pause, trouble, tried = every.first, time.Now(), false
		}
		for err := why(); err != nil && ctx.Err() == nil; pause = min(2*pause, every.longest) {
			if gone := b.gone(); gone != nil {
				return errors.Join(gone, err)
			}
			if p.needed && tried && time.Since(trouble) >= every.giveUp {
				return fmt.Errorf("%s does not stay up, tried for %v: %w", p.name, every.giveUp, err)
			}
			log.Error("a store ended by itself or does not start: starting it again", "pause", pause, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
				err, tried = p.restart(ctx), true
			}
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the store was being started while everything stops
		}
		log.Info("a store runs again", "after", time.Since(trouble).Round(time.Millisecond))
	}
}

// folder is one that must stay where it is.
type folder struct {
	path string
	info fs.FileInfo // as it was at the start
}

// hold remembers folders, to notice when one is gone.
func (b *Backends) hold(paths ...string) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("look at data folder: %w", err)
		}
		b.folders = append(b.folders, folder{path, info})
	}
	return nil
}

// gone reports a folder that was removed, or that another one has replaced: the
// stores would go on writing into files without a name.
func (b *Backends) gone() error {
	for _, f := range b.folders {
		switch info, err := os.Stat(f.path); {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the data folder %s was removed: put it back, or start again on another with --data", f.path)
		case err == nil && !os.SameFile(info, f.info):
			return fmt.Errorf("the data folder %s was replaced by another: put the old one back before the next start, or what it holds is not known any more", f.path)
		}
	}
	return nil
}

// watchFolders returns an error when a folder is gone, nil at Stop.
func (b *Backends) watchFolders(ctx context.Context) error {
	tick := time.NewTicker(folderWatch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := b.gone(); err != nil {
				return err
			}
		}
	}
}
