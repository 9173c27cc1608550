package scheduler

import "time"

// SetNow gives the scheduler another clock to tell by that a sale is late.
func (s *Scheduler) SetNow(now func() time.Time) { s.now = now }
