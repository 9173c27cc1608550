//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/auditor/archive"
	"notsale/services/auditor/statement"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// storesFlag lets a command find the test's stores as it finds those of `up`: by
// a file, not by variables, which all tests share.
func (f *front) storesFlag(t *testing.T) string {
	t.Helper()
	s := newSettings()
	s.data, s.databaseURL, s.redisURL, s.natsURL = t.TempDir(), f.DatabaseURL, f.RedisURL, f.NATSURL
	if _, err := s.leaveURLs(); err != nil {
		t.Fatal(err)
	}
	return "--data=" + s.data
}

// program runs a command of the program on the test's stores.
func (f *front) program(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newRoot()
	cmd.SetArgs(append(args, f.storesFlag(t), "--log-level", "error"))
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// prints runs a command that must end well.
func (f *front) prints(t *testing.T, args ...string) string {
	t.Helper()
	out, err := f.program(t, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPublishedStatement(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(3, 2)
	staff := f.Hire(t, "staff")
	buy := func(user string, item sale.ItemID) {
		f.Post(t, servicetest.PurchasePath(f.Checkout(t, user, int64(item)).Code))
	}
	buy("ann", of.FirstItem)
	servicetest.Eventually(t, "the attempt is recorded", func() bool { return f.Count(`SELECT count(*) FROM checkout_attempts`) == 1 })
	key := filepath.Join(t.TempDir(), "statement.key")
	text := f.prints(t, "audit", "publish", "--sale", "1", "--statement-key", key)
	for _, line := range []string{"uuid " + of.UUID.String(), "sold 1", "stock 3", "attempts 1", "final false"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if again := f.prints(t, "audit", "publish", "--sale", "1", "--statement-key", key); again != text {
		t.Errorf("published again, the same state gives\n%s\nnot\n%s", again, text)
	}
	published := writeFile(t, "statement", text)
	against := []string{"audit", "--sale", "1", "--against", published, "--verifier", key + ".pub"}
	f.prints(t, against...)

	// The sale goes on: what was published is still on its way.
	buy("bob", of.FirstItem+1)
	f.prints(t, against...)

	// A statement signed by another is none.
	other := filepath.Join(t.TempDir(), "other.key")
	if _, _, _, err := statement.LoadOrCreateKey(other, "other"); err != nil {
		t.Fatal(err)
	}
	_, err := f.program(t, "audit", "--sale", "1", "--against", published, "--verifier", other+".pub")
	if !errors.Is(err, errAudit) || !errors.Is(err, statement.ErrUnsigned) {
		t.Errorf("%v, want ErrUnsigned", err)
	}
	_, err = f.program(t, "audit", "--sale", "1", "--against", writeFile(t, "altered", strings.Replace(text, "sold 1", "sold 2", 1)), "--verifier", key+".pub")
	if !errors.Is(err, statement.ErrAltered) {
		t.Errorf("%v, want ErrAltered", err)
	}

	// Nothing is published of a sale with findings.
	f.mustExec(t, `UPDATE items SET user_id = 'friend' WHERE item_id = $1`, int64(of.FirstItem))
	out, err := f.program(t, "audit", "publish", "--sale", "1", "--statement-key", key)
	if !errors.Is(err, errFindings) || strings.Contains(out, "chain "+strings.Repeat("0", 64)) || !strings.Contains(out, "FINDING") || strings.Contains(out, "notsale/statement") {
		t.Errorf("%v\n%s", err, out)
	}
	f.mustExec(t, `UPDATE items SET user_id = 'ann' WHERE item_id = $1`, int64(of.FirstItem))

	// Stream and ledger are rewritten together: only the statement tells.
	staff.Stop()
	f.rewrite(t, of)
	f.prints(t, "audit", "--sale", "1")
	out, err = f.program(t, against...)
	if !errors.Is(err, errFindings) || !strings.Contains(out, "statement") || !strings.Contains(out, "chain is") {
		t.Errorf("%v\n%s", err, out)
	}
}

func (f *front) mustExec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := f.DB.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// What lies in a hole is the ledger's word, which may be made up afterwards: a
// statement about it is not met, whatever the ledger says of its chain.
func TestStatementIsNotMetInAHole(t *testing.T) {
	t.Parallel()
	e := audited(t)
	p := statement.Statement{
		Installation: e.of.Installation, Sale: e.of.ID, UUID: e.of.UUID, Generation: 1, Sequence: 12, Stock: e.of.Stock, Sold: e.of.Stock,
	}
	var chain []byte
	err := e.DB.QueryRow(t.Context(), `SELECT position, chain FROM commits WHERE sale_id = 1 AND (generation, sequence) = (1, 12)`).Scan(&p.Position, &chain)
	if err != nil {
		t.Fatal(err)
	}
	copy(p.Chain[:], chain)
	r, err := auditor.Audit(t.Context(), e.books, e.recorded, 1, auditor.Options{Against: &p})
	if err != nil || r.Total != 1 || r.Findings[0].Table != "statement" || r.Findings[0].Kind != auditor.Missing {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := e.program(t, "audit", "publish", "--sale", "1", "--statement-key", filepath.Join(t.TempDir(), "key")); !errors.Is(err, errAudit) || !strings.Contains(err.Error(), "--with-unproved") {
		t.Errorf("published with decisions that nothing proves: %v", err)
	}
	if text := e.prints(t, "audit", "--sale", "1"); !strings.Contains(text, "clean, but for 6 decisions in holes") {
		t.Errorf("%s", text)
	}
}

// rewrite makes the sale anew, in the stream and in the ledger: the opening
// record is as it was, and the first item goes to a friend.
func (f *front) rewrite(t *testing.T, of sale.Sale) {
	t.Helper()
	nc, err := nats.Connect(f.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = js.DeleteStream(t.Context(), "SALE_1")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"decisions", "items", "commits", "cursors"} {
		f.mustExec(t, `DELETE FROM `+table)
	}
	f.mustExec(t, `UPDATE sales SET state = 'preparing'`)
	s, l := f.Stream("forger"), f.Ledger("forger")
	if err := servicetest.Open(t.Context(), l, s, of); err != nil {
		t.Fatal(err)
	}
	f.Enqueue(t, of, f.Sign(of, of.FirstItem, "friend", time.Hour))
	f.Hire(t, "forgers")
	f.decidedUpTo(t, 1)
}

// The command that archives a sale, from beginning to end, with a failure and
// another try in between.
func TestSaleArchive(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of, open := f.OpenSale(2, 1), f.OpenSale(5, 1)
	staff := f.Hire(t, "staff")
	customers := f.SellOut(t, of)
	f.Post(t, servicetest.CheckoutPath("early", int64(of.LastItem())))
	path := filepath.Join(t.TempDir(), "sale.tar")
	if _, err := f.program(t, "sale", "archive", open.ID.String(), "--out", path); !errors.Is(err, errAudit) || !strings.Contains(err.Error(), "sold-out") {
		t.Errorf("a sale that sells: %v", err)
	}
	if _, err := f.program(t, "sale", "archive", "99", "--out", path); err == nil || !strings.Contains(err.Error(), "there is no sale 99") {
		t.Errorf("no sale: %v", err)
	}

	f.mustExec(t, `UPDATE items SET user_id = 'friend' WHERE item_id = $1`, int64(of.FirstItem))
	out, err := f.program(t, "sale", "archive", "1", "--out", path)
	if !errors.Is(err, errFindings) || !strings.Contains(out, "FINDING") {
		t.Errorf("a sale with findings: %v\n%s", err, out)
	}
	f.mustExec(t, `UPDATE items SET user_id = 'ann' WHERE item_id = $1`, int64(of.FirstItem))
	f.checkOpen(t, of)

	// There is a file already, and it is something else.
	if err := os.WriteFile(path, []byte("not an archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.program(t, "sale", "archive", "1", "--out", path); !errors.Is(err, errAudit) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("another file at its place: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}

	// Its streams are closed by now: a checkout is kept in the stream of no sale.
	f.Post(t, servicetest.CheckoutPath("meanwhile", int64(of.LastItem())))
	servicetest.Eventually(t, "it is recorded", func() bool {
		return f.Count(`SELECT count(*) FROM checkout_attempts WHERE sale_id = 0 AND user_param = 'meanwhile'`) == 1
	})
	f.prints(t, "audit", "--sale", "1")
	half := filepath.Join(t.TempDir(), "half.tar")
	f.prints(t, "audit", "export", "--sale", "1", "--out", half)
	f.prints(t, "audit", "--archive", half)
	if _, err := f.program(t, "sale", "archive", "1", "--out", filepath.Join(t.TempDir(), "no", "folder")); !errors.Is(err, errAudit) || !strings.Contains(err.Error(), "--out") {
		t.Errorf("no folder: %v", err)
	}
	for range 2 { // the second finds that all is done
		if out := f.prints(t, "sale", "archive", "1", "--out", path); !strings.Contains(out, "keep it") {
			t.Errorf("%s", out)
		}
	}
	if _, err := f.program(t, "sale", "archive", "1", "--out", half+".not"); !errors.Is(err, errAudit) || !strings.Contains(err.Error(), "by --out") {
		t.Errorf("without the archive: %v", err)
	}
	f.prints(t, "sale", "archive", "1", "--out", half) // exported before, it is the same to the byte
	if _, err := f.Stream("test").Info(t.Context(), of.ID); err == nil {
		t.Error("the stream is still there")
	}
	f.EmptyCache(t) // the cache may name another true reason
	f.checkAnswers(t, f.Shop, of, customers, 1)
	staff.Content()

	f.prints(t, "audit", "--archive", path)
	f.prints(t, "audit", "--archive", path, "--ledger")
	f.prints(t, "audit", "--all")
	if _, err := f.program(t, "audit", "--sale", "1"); !errors.Is(err, archiver.ErrArchived) || !errors.Is(err, errAudit) {
		t.Errorf("%v, want ErrArchived", err)
	}
	f.exec(t, `DELETE FROM checkout_attempts WHERE user_param = 'late-1'`)
	if out, err := f.program(t, "audit", "--all"); !errors.Is(err, errFindings) || !strings.Contains(out, "sale 0: checkout_attempts") {
		t.Errorf("an attempt made after archiving is deleted: %v\n%s", err, out)
	}
	for _, more := range [][]string{nil, {"--ledger"}} {
		if out, err := f.program(t, append([]string{"audit", "--archive", path}, more...)...); err != nil {
			t.Errorf("the archive itself: %v\n%s", err, out)
		}
	}
}

// A command that ended between closing the sale's row and removing its streams,
// whose archive was lost, makes the same archive again; and a ledger restored to
// before that takes the archive for what it is.
func TestSaleArchiveAgain(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(2, 1)
	staff := f.Hire(t, "staff")
	customers := f.SellOut(t, of)
	f.Post(t, servicetest.CheckoutPath("early", int64(of.LastItem())))
	servicetest.Eventually(t, "the attempt is recorded", func() bool { return f.Count(`SELECT count(*) FROM checkout_attempts`) == 1 })
	first, again := filepath.Join(t.TempDir(), "first.tar"), filepath.Join(t.TempDir(), "again.tar")
	f.prints(t, "audit", "export", "--sale", "1", "--out", first)
	a := f.archiving(t, of)
	a.run(4)
	file, err := archive.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	m, err := file.Manifest()
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	a.command.Ends.Manifest = m.Sum()
	if err := a.command.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.prints(t, "sale", "archive", "1", "--out", again)
	one, err := os.ReadFile(first)
	two, err2 := os.ReadFile(again)
	if err := errors.Join(err, err2); err != nil || !bytes.Equal(one, two) {
		t.Errorf("%d and %d bytes, not the same, %v", len(one), len(two), err)
	}
	staff.Stop()
	f.mustExec(t, `DELETE FROM archives`)
	f.mustExec(t, `UPDATE sales SET state = 'archiving'`)
	if _, err := f.program(t, "sale", "archive", "1", "--out", first+".not"); !errors.Is(err, errAudit) || !strings.Contains(err.Error(), "give its archive") {
		t.Errorf("without the archive: %v", err)
	}
	f.prints(t, "sale", "archive", "1", "--out", first)
	f.prints(t, "audit", "--archive", first, "--ledger")
	f.mustExec(t, `UPDATE archives SET manifest = sha256('other')`)
	if _, err := f.program(t, "audit", "--archive", first, "--ledger"); !errors.Is(err, errFindings) {
		t.Errorf("an archive that the ledger does not name: %v", err)
	}
	f.Spoilt = true
	f.EmptyCache(t)
	edgetest.Same(t, customers[0].What, f.Purchase(t, customers[0].Code), customers[0].First)
}

// Nothing is done to the streams of another installation.
func TestSaleArchiveOfAnotherInstallation(t *testing.T) {
	t.Parallel()
	f, other := newFront(t, nil), newFront(t, nil)
	of := f.OpenSale(2, 1)
	other.OpenSale(2, 1)
	staff := f.Hire(t, "staff")
	f.SellOut(t, of)
	path := filepath.Join(t.TempDir(), "sale.tar")
	f.prints(t, "sale", "archive", "1", "--out", path)
	staff.Stop()
	own := f.NATSURL
	f.NATSURL = other.NATSURL
	if _, err := f.program(t, "sale", "archive", "1", "--out", path); !errors.Is(err, stream.ErrForeign) {
		t.Errorf("%v, want ErrForeign", err)
	}
	f.NATSURL = own
	other.Checkout(t, "ann", 1)
}

// checkOpen fails the test unless the sale's streams still take messages.
func (f *front) checkOpen(t *testing.T, of sale.Sale) {
	t.Helper()
	row, err := f.Ledger("test").Sale(context.Background(), of.ID)
	if err != nil || row.State != sale.SoldOut {
		t.Errorf("%+v, %v", row, err)
	}
	f.Enqueue(t, of, f.Sign(of, of.FirstItem, "afterwards", time.Hour))
}
