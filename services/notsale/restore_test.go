//go:build unix

package main

import (
	"bytes"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/sale"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// backUp reads all tables at one instant, as pg_dump does, and returns what puts
// them back, as pg_restore does.
func (f *front) backUp(t *testing.T) (restore func()) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	backup := map[string][]byte{}
	fatal(pgx.BeginTxFunc(t.Context(), f.DB, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		rows, _ := tx.Query(t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'goose_db_version'`)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, table := range tables {
			var data bytes.Buffer
			if _, err := tx.Conn().PgConn().CopyTo(t.Context(), &data, `COPY `+table+` TO STDOUT`); err != nil {
				return err
			}
			backup[table] = data.Bytes()
		}
		return err
	}))
	return func() {
		t.Helper()
		fatal(pgx.BeginFunc(t.Context(), f.DB, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SET LOCAL session_replication_role = replica`); err != nil { // no foreign keys meanwhile
				return err
			}
			for table := range backup {
				if _, err := tx.Exec(t.Context(), `TRUNCATE `+table+` CASCADE`); err != nil {
					return err
				}
			}
			for table, data := range backup {
				if _, err := tx.Conn().PgConn().CopyFrom(t.Context(), bytes.NewReader(data), `COPY `+table+` FROM STDIN`); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// A backup that is older than the newest sale's opening: the sale comes back as
// its stream says, its buyer has his item, and the hours go on. Before that an
// audit says what is missing.
func TestARestoreToBeforeASaleOpened(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(5, 1)
	f.OpenSale(5, 1)
	before := f.Hire(t, "before")
	f.Checkout(t, "ann", 1)
	f.recorded(t, 1)
	restore := f.backUp(t)
	three := f.OpenSale(5, 1)
	code := f.Checkout(t, "bob", int64(three.FirstItem)).Code
	sold := f.Purchase(t, code)
	if sold.Status != http.StatusOK {
		t.Fatalf("%d %s", sold.Status, sold.Body)
	}
	f.recorded(t, 2)
	chain := f.chain(t, three.ID)
	before.Stop()
	restore()
	out, err := f.program(t, "audit", "--all")
	if !errors.Is(err, errFindings) || !strings.Contains(out, "sales 3 missing") || !strings.Contains(out, three.UUID.String()) {
		t.Errorf("the audit of a ledger that lacks a sale: %v\n%s", err, out)
	}
	after := f.Hire(t, "after")
	f.recorded(t, 2)
	servicetest.Eventually(t, "the sale is decided again", func() bool { return f.Count(`SELECT count(*) FROM decisions WHERE sale_id = 3`) == 1 })
	row, err := f.Ledger("looker").Sale(t.Context(), three.ID)
	if err != nil || row.Sale != three || row.State != sale.Open || row.Sold != 1 {
		t.Errorf("%+v, %v, want %+v", row, err, three)
	}
	if again := f.chain(t, three.ID); !bytes.Equal(again, chain) {
		t.Errorf("chain %x, before %x", again, chain)
	}
	f.EmptyCache(t)
	edgetest.Same(t, "bob", f.Purchase(t, code), sold)
	if next := f.OpenSale(5, 1); next.ID != 4 || next.FirstItem != three.LastItem()+1 {
		t.Errorf("then opens %+v", next)
	}
	after.Content()
}

// recorded waits until so many checkouts are in the ledger.
func (f *front) recorded(t *testing.T, n int64) {
	t.Helper()
	servicetest.Eventually(t, "the checkouts are recorded", func() bool { return f.Count(`SELECT count(*) FROM checkout_attempts`) == n })
}

func (f *front) chain(t *testing.T, id sale.ID) (chain []byte) {
	t.Helper()
	if err := f.DB.QueryRow(t.Context(), `SELECT chain FROM cursors WHERE sale_id = $1`, int64(id)).Scan(&chain); err != nil {
		t.Fatal(err)
	}
	return chain
}

// A row that never opened, of another sale than the stream of its number: an audit
// names both.
func TestAuditNamesAStreamOfAnotherSale(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(5, 1)
	f.exec(t, `DELETE FROM cursors`)
	f.exec(t, `UPDATE sales SET state = 'preparing', sale_uuid = gen_random_uuid()`)
	out, err := f.program(t, "audit", "--all")
	if !errors.Is(err, errFindings) || !strings.Contains(out, "sales 1 differs: sale_uuid") || !strings.Contains(out, of.UUID.String()) {
		t.Errorf("%v\n%s", err, out)
	}
}

// A backup from before a sale was archived: its archive says where its streams are,
// and brings back the checkouts that the backup lacks. Until then an audit of all
// names the sale, and audits the others.
func TestARestoreToBeforeASaleWasArchived(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of, other := f.OpenSale(2, 1), f.OpenSale(2, 1)
	staff := f.Hire(t, "before")
	customers := f.SellOut(t, of)
	f.Post(t, servicetest.CheckoutPath("early", int64(of.LastItem())))
	f.recorded(t, 1)
	restore := f.backUp(t)
	f.Post(t, servicetest.CheckoutPath("late", int64(of.LastItem())))
	f.recorded(t, 2)
	path := filepath.Join(t.TempDir(), "sale.tar")
	f.prints(t, "sale", "archive", "1", "--out", path)
	staff.Stop()
	restore()
	if n := f.Count(`SELECT count(*) FROM checkout_attempts`); n != 1 {
		t.Fatalf("%d checkouts in the backup, want 1", n)
	}
	out, err := f.program(t, "audit", "--all")
	if !errors.Is(err, errAudit) || !strings.Contains(err.Error(), "sale 1") || !strings.Contains(out, "sale 2: clean") || !strings.Contains(out, "no sale: clean") {
		t.Errorf("the audit of all: %v\n%s", err, out)
	}
	if _, err := f.program(t, "sale", "archive", "1", "--out", path+".not"); !errors.Is(err, errAudit) || !strings.Contains(err.Error(), "give its archive") {
		t.Errorf("without the archive: %v", err)
	}
	f.prints(t, "sale", "archive", "1", "--out", path)
	if n := f.Count(`SELECT count(*) FROM checkout_attempts`); n != 2 {
		t.Errorf("%d checkouts are recorded, want 2", n)
	}
	if text := f.prints(t, "audit", "--archive", path, "--ledger"); strings.Contains(text, "wait") {
		t.Error(text)
	}
	f.prints(t, "audit", "--all")
	f.EmptyCache(t)
	edgetest.Same(t, customers[0].What, f.Purchase(t, customers[0].Code), customers[0].First)
	after := f.Hire(t, "after")
	if a := f.Purchase(t, f.Checkout(t, "zoe", int64(other.FirstItem)).Code); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	f.recorded(t, 3)
	after.Content()
}
