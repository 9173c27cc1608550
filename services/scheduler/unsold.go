package scheduler

import (
	"context"
	"errors"
	"slices"
	"time"

	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// The attempts to check out items that no sale has go to one stream after the
// other, so that old ones can be removed whole: a stream that nothing may be
// deleted from would fill for good.
const (
	// unsoldAge is when the next stream is made, if the last one has anything.
	unsoldAge = 24 * time.Hour
	// unsoldFull is how many bytes the last stream may have before the next is
	// made: the fastest flood needs more than a second for the rest, and the alarm that
	// it cannot grow comes later. Where the store has no room for so large a stream,
	// its age ends it.
	unsoldFull = stream.UnsoldBytes / 10 * 6
)

// unsold is the state of this work.
type unsold struct {
	tidied  time.Time // when all parts were last looked at
	parts   int       // that there were at the last look
	failing bool      // people know of the failure that lasts
}

// tendUnsold is keepUnsold, whose time and failures must not hold up any sale.
func (s *Scheduler) tendUnsold(ctx context.Context) {
	ctx, cancel := s.host.WithTimeout(ctx, unsoldTimeout)
	defer cancel()
	err := s.keepUnsold(ctx)
	if err != nil && ctx.Err() == nil {
		s.failed.Inc()
		if !s.unsold.failing {
			s.log.Warn("the streams of no sale are not kept, trying on", "error", err)
		}
	}
	s.unsold.failing = err != nil
}

// keepUnsold sees to it that the attempts of no sale have a stream that takes
// them, and that the old ones go.
func (s *Scheduler) keepUnsold(ctx context.Context) error {
	parts, err := s.ports.Parts.UnsoldParts(ctx)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return s.nextUnsold(ctx, 1) // CHECKOUTS_0, of earlier versions, is part 0
	}
	closed, last := parts[:len(parts)-1], parts[len(parts)-1]
	state, errState := s.ports.Parts.UnsoldPart(ctx, last)
	if len(parts) != s.unsold.parts || s.host.Now().Sub(s.unsold.tidied) > fullRepair {
		err = s.tidyUnsold(ctx, closed)
		if errState == nil {
			err = errors.Join(err, s.missUnsold(ctx, parts, state.Now))
		}
		if err == nil {
			s.unsold.parts, s.unsold.tidied = len(parts), s.host.Now()
		}
	}
	if errState == nil && isDue(&state) {
		errState = s.nextUnsold(ctx, last+1)
	}
	return errors.Join(err, errState)
}

// nextUnsold makes a part, of this number or the first above it that was never
// used, and sees that it is there. The one before it is closed by the next turn,
// so that there is always one that takes attempts.
func (s *Scheduler) nextUnsold(ctx context.Context, part int) error {
	known, err := s.ports.Removed.UnsoldParts(ctx)
	if err != nil {
		return err
	}
	if len(known) > 0 {
		part = max(part, known[len(known)-1].Part+1)
	}
	if err := s.ports.Renewal.CreateUnsold(ctx, part); err != nil {
		return err
	}
	_, err = s.ports.Parts.UnsoldPart(ctx, part)
	return err
}

// isDue reports whether the next part is to be made. An empty one lasts for ever,
// and a clock that was wrong when it was made, by a year, delays nothing.
func isDue(p *stream.Info) bool {
	return p.Last > 0 && (p.Now.Sub(p.Created).Abs() > unsoldAge || p.Bytes > unsoldFull)
}

// tidyUnsold closes parts that have a successor, and removes those that are old.
func (s *Scheduler) tidyUnsold(ctx context.Context, parts []int) error {
	var errs []error
	for _, part := range parts {
		errs = append(errs, s.tidyPart(ctx, part))
	}
	return errors.Join(errs...)
}

// tidyPart first tells the ledger that a part is removed: where it is not there
// and the ledger does not say so, it is lost.
func (s *Scheduler) tidyPart(ctx context.Context, part int) error {
	if err := s.ports.Renewal.CloseUnsold(ctx, part); err != nil {
		return gone(err)
	}
	state, err := s.ports.Parts.UnsoldPart(ctx, part)
	if err != nil {
		return gone(err)
	}
	old, err := s.ports.Removed.RemoveUnsold(ctx, part, state.Last, state.Created, state.Now, s.cfg.BackupHorizon)
	if err != nil || !old {
		return err
	}
	s.log.Info("attempts of no sale leave their stream: they are recorded, and older than any backup", "part", part, "messages", state.Last)
	return s.ports.Renewal.RemoveUnsold(ctx, part)
}

// missUnsold tells a ledger that was restored which parts were removed since its
// backup: those that are not there, have a successor, and are recorded and old.
func (s *Scheduler) missUnsold(ctx context.Context, parts []int, now time.Time) error {
	known, err := s.ports.Removed.UnsoldParts(ctx)
	for _, k := range known {
		if k.Removed || k.Part > parts[len(parts)-1] || slices.Contains(parts, k.Part) {
			continue
		}
		removed := false
		at, errAt := s.ports.Removed.AttemptCursor(ctx, wire.AttemptStream{Part: k.Part})
		if errAt == nil {
			removed, errAt = s.ports.Removed.RemoveUnsold(ctx, k.Part, at.Sequence, at.Created.Time(), now, s.cfg.BackupHorizon)
		}
		if removed {
			s.log.Info("attempts of no sale have no stream any more: they are recorded, and older than any backup", "part", k.Part, "messages", at.Sequence)
		}
		err = errors.Join(err, errAt)
	}
	return err
}

// gone forgives that another scheduler has removed a part meanwhile.
func gone(err error) error {
	if errors.Is(err, stream.ErrLost) {
		return nil
	}
	return err
}
