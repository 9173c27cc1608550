package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/pflag"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/archiver"
	"notsale/services/auditor"
)

// inspection is a command that looks into the evidence of one sale.
type inspection struct {
	*settings

	sale       sale.ID // 0: the archive's
	archive    string  // file; empty: ledger and streams
	withLedger bool    // with an archive: the ledger's rows, not those in it
	asJSON     bool
	out        io.Writer
}

func newInspection() inspection { return inspection{settings: newSettings()} }

// flags are those of all such commands; archive says what an archive is for.
func (i *inspection) flags(f *pflag.FlagSet, archive string) {
	i.evidenceFlags(f)
	f.Int64Var((*int64)(&i.sale), "sale", 0, "number of the sale")
	f.StringVar(&i.archive, "archive", "", archive)
}

// on works on the evidence.
func (i *inspection) on(ctx context.Context, work func(*archiver.Evidence) error) error {
	if i.archive == "" {
		if i.sale < 1 {
			return errors.New("give --sale N, with a number above 0, or --archive FILE")
		}
		return i.connected(ctx, func(stores archiver.Stores) error {
			e, err := stores.Evidence(ctx, i.sale)
			if err != nil {
				return err
			}
			return work(e)
		})
	}
	e, err := archiver.Open(i.archive, i.sale)
	if err != nil {
		return err
	}
	defer e.Close()
	if !i.withLedger {
		return work(e)
	}
	return i.connected(ctx, func(stores archiver.Stores) error {
		if err := e.UseLedger(ctx, stores); err != nil {
			return err
		}
		return work(e)
	})
}

// undamaged reads every byte of the archive, if there is one. errFindings: some are
// not as they were written, and the report of them is printed.
func (i *inspection) undamaged(ctx context.Context) error {
	if i.archive == "" {
		return nil
	}
	damage, err := archiver.Damage(ctx, i.archive)
	if damage == nil {
		return err
	}
	return i.print(damage)
}

// print prints a report. errFindings: it is not clean.
func (i *inspection) print(r *auditor.Report) error {
	if err := printReport(i.out, r, i.asJSON); err != nil {
		return err
	}
	if !r.Clean() {
		return errFindings
	}
	return nil
}

// auditPatience is how long a statement of an audit may take: millions of
// attempts are read in one.
const auditPatience = 10 * time.Minute

// connected connects to the ledger and the streams for as long as work takes.
func (s *settings) connected(ctx context.Context, work func(archiver.Stores) error) error {
	log, err := s.logger()
	if err != nil {
		return err
	}
	if err := s.readURLs(); err != nil {
		return err
	}
	if (s.databaseURL == "") != (s.natsURL == "") {
		return errors.New("set both DATABASE_URL and NATS_URL, or none to find the stores of 'notsale up'")
	}
	if s.databaseURL == "" {
		if err := s.findURLs(); err != nil {
			return err
		}
	}
	name := instanceName("audit")
	l, err := ledger.Open(ctx, ledger.Config{URL: s.databaseURL, Name: name, Conns: ledger.DefaultConns, Patience: auditPatience, ReadOnly: true})
	if err != nil {
		return err
	}
	defer l.Close()
	connect, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	cfg := s.stream
	cfg.URL, cfg.Name, cfg.Role = s.natsURL, name, "auditor"
	streams, err := stream.Connect(connect, cfg, log)
	if err != nil {
		return err
	}
	defer streams.Close()
	return work(archiver.Stores{Ledger: l, Streams: streams})
}
