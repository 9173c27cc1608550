package auditor

import (
	"context"
	"time"

	"notsale/pkg/sale"
)

// OpenShare is the part of the time in which an audit works while the sale
// sells: that slows a sale on two busy cores by 3 to 5% (measured by
// loadtest/faults, TestAuditOfARunningSale): the stores work for the audit too.
const OpenShare = 0.05

// workSlice is how long an audit works before it rests: shorter than anybody's
// answer takes.
const workSlice = 2 * time.Millisecond

// pace keeps an audit from taking the machine from a sale under way. Waiting
// for a store is no work.
type pace struct {
	share  float64
	begun  time.Time
	worked time.Duration // since the last rest
}

func newPace(share float64, state sale.State) pace {
	switch {
	case share > 0:
	case state == sale.Open:
		share = OpenShare
	default:
		share = 1
	}
	return pace{share: share}
}

// work says that work begins.
func (p *pace) work() { p.begun = time.Now() }

// rest says that it ends, and sleeps if enough was done.
func (p *pace) rest(ctx context.Context) error {
	p.worked += time.Since(p.begun)
	if p.share >= 1 || p.worked < workSlice {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(float64(p.worked) * (1 - p.share) / p.share)):
	}
	p.worked = 0
	return ctx.Err()
}
