package sale

import "time"

// Instant is a moment as the system stores it: microseconds since the Unix
// epoch, UTC. One microsecond is the resolution of PostgreSQL's timestamptz,
// so an instant survives the ledger unchanged.
type Instant int64

// InstantOf cuts a time to the microsecond.
func InstantOf(t time.Time) Instant { return Instant(t.UnixMicro()) }

// Time returns the instant as a UTC time.
func (i Instant) Time() time.Time { return time.UnixMicro(int64(i)).UTC() }

// String returns the instant as RFC 3339 with six decimals, as in the API.
func (i Instant) String() string {
	return i.Time().Format("2006-01-02T15:04:05.000000Z07:00")
}
