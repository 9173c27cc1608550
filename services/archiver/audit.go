package archiver

import (
	"context"
	"errors"
	"fmt"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
)

// Audit compares the sale's rows with its messages.
func (e *Evidence) Audit(ctx context.Context, o auditor.Options) (*auditor.Report, error) {
	report, err := auditor.Audit(ctx, e.rows, e.messages, e.Sale, o)
	if err != nil {
		return nil, fmt.Errorf("sale %d: %w", e.Sale, err)
	}
	return report, nil
}

// AuditAll audits every sale, newest first, then what belongs to none, and tells of
// each: its report, or why it could not be audited, which keeps it from no other
// sale. It ends at an error that is not about one sale, or at what tell returns.
func (s Stores) AuditAll(ctx context.Context, options func(sale.ID) auditor.Options, tell func(*auditor.Report, error) error) error {
	for before := sale.ID(0); ; {
		rows, err := s.Ledger.Sales(ctx, before, salesAtOnce)
		if err != nil {
			return err
		}
		for i := range rows {
			before = rows[i].Sale.ID
			report, err := s.auditOne(ctx, &rows[i], options(before))
			switch {
			case neverOpened(&rows[i], err):
				continue
			case err != nil && !aboutOneSale(err):
				return err
			}
			if err := tell(report, err); err != nil {
				return err
			}
		}
		if len(rows) < salesAtOnce {
			break
		}
	}
	report, err := auditor.AuditRest(ctx, s.Ledger, s.Streams)
	if err != nil {
		return err
	}
	return tell(report, nil)
}

// salesAtOnce is how many sales are listed by one statement.
const salesAtOnce = 1000

func (s Stores) auditOne(ctx context.Context, row *ledger.SaleRow, o auditor.Options) (*auditor.Report, error) {
	if row.State == sale.Archived {
		if err := s.unremoved(ctx, row.Sale.ID); err != nil {
			return nil, err
		}
	}
	return s.evidence(row).Audit(ctx, o)
}

// neverOpened reports whether an audit failed because the sale was being made.
func neverOpened(row *ledger.SaleRow, err error) bool {
	return row.State == sale.Preparing && (errors.Is(err, ledger.ErrNotFound) || errors.Is(err, stream.ErrLost))
}

// aboutOneSale reports whether an error says nothing of other sales.
func aboutOneSale(err error) bool {
	for _, one := range [...]error{ErrArchived, ledger.ErrNotFound, stream.ErrLost, wire.ErrMessage, wire.ErrVersion} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
