//go:build crashpoints

package recorder

import (
	"context"

	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/wire"
)

// lethal returns ports at which the process dies, before or after a call, where
// package crash is told so.
func lethal(p Ports) Ports { return Ports{lethalLedger{p.Ledger}, p.Known, p.Streams} }

type lethalLedger struct{ Ledger }

func (p lethalLedger) RecordAttempts(ctx context.Context, of wire.AttemptStream, from, to ledger.AttemptCursor, attempts []ledger.RecordedAttempt) (int64, error) {
	crash.At("recorder/before-insert")
	defer crash.At("recorder/after-insert")
	return p.Ledger.RecordAttempts(ctx, of, from, to, attempts)
}
