package scheduler

import (
	"context"
	"errors"
)

// PortsOf are the ports of open connections.
var PortsOf = portsOf

// Turn is a step of each of Schedule's loops but the keeper's.
func (s *Scheduler) Turn(ctx context.Context) error {
	err := s.openSlot(ctx)
	return errors.Join(err, s.tend(ctx))
}
