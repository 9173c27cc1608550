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

// folderWatch is how often to check that the folders still exist. What is written into
// a removed folder until then is lost.
const folderWatch = time.Second

// pauses say when a part that ended by itself is started again.
type pauses struct {
	first, longest time.Duration // pauses before a start; each is twice the one before
	steady         time.Duration // a part that ran so long is stable: the next pause is first
	giveUp         time.Duration // how long a part may be unstable
}

// usualPauses begin short, because the sale waits. Failed starts mostly fail at once,
// so there are a dozen or more tries before the part is given up; by then an operator
// has had time to free space on a full disk.
var usualPauses = pauses{first: 50 * time.Millisecond, longest: 10 * time.Second, steady: 10 * time.Second, giveUp: 2 * time.Minute}

// part is a store that runs here, as the supervisor sees it.
type part struct {
	name string
	// ended returns a channel that closes when the current run ends by itself,
	// and a function that then says why.
	ended func() (<-chan struct{}, func() error)
	// restart starts it on the same data, port and password.
	restart func(context.Context) error
	// needed: nothing can be sold without it. A part that is not is tried for ever.
	needed bool
}

// keep starts a part again whenever it has ended by itself, until Stop. It returns an
// error when it gives up.
func (b *Backends) keep(ctx context.Context, p part, every pauses, log *slog.Logger) error {
	log = log.With("part", p.name)
	pause := every.first
	var unstable time.Time // when it ended first, since it was last steady
	tried := false         // to start it since then: if this process was suspended, giveUp may have passed without a try
	for {
		ended, why := p.ended()
		began := time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
		}
		if unstable.IsZero() || time.Since(began) >= every.steady {
			pause, unstable, tried = every.first, time.Now(), false
		}
		for err := why(); err != nil && ctx.Err() == nil; pause = min(2*pause, every.longest) {
			if gone := b.gone(); gone != nil {
				return errors.Join(gone, err)
			}
			if p.needed && tried && time.Since(unstable) >= every.giveUp {
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
			return nil //nolint:nilerr // everything stops
		}
		log.Info("a store runs again", "after", time.Since(unstable).Round(time.Millisecond))
	}
}

// folder is one that must not be removed or replaced.
type folder struct {
	path string
	info fs.FileInfo // at the start
}

// hold remembers folders for gone.
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

// gone returns an error if a folder was removed, or replaced by another: the stores
// would go on writing into deleted files.
func (b *Backends) gone() error {
	for _, f := range b.folders {
		switch info, err := os.Stat(f.path); {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the data folder %s was removed: put it back, or start again on another with --data", f.path)
		case err == nil && !os.SameFile(info, f.info):
			return fmt.Errorf("the data folder %s was replaced by another: put the old one back before the next start, or its data is lost", f.path)
		}
	}
	return nil
}

// watchFolders returns the error of gone, nil at Stop.
func (b *Backends) watchFolders(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(folderWatch):
			if err := b.gone(); err != nil {
				return err
			}
		}
	}
}
