//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/allocator"
	"notsale/services/auditor"
	"notsale/services/recorder"
	"notsale/services/servicetest"
)

// exhibit is a sale with some of everything, a hole included, and another one
// beside it: sold, recorded, and nothing runs any more but the stores.
type exhibit struct {
	*front

	of, other sale.Sale
	books     *ledger.Ledger
	tape      *stream.Client
	recorded  *recording                    // of the tape, when all was done
	excepted  map[string]bool               // exceptions that were met
	issued    map[string]allocation.Request // what a shopper may send, by "user item"
}

const (
	garbage   = "not a pack" // nobody can read it
	expired   = "expired"    // a user whose codes are
	lostFirst = 8            // sequence at which the sale's lost messages begin
	lostLast  = 12
)

// audited sells everything, by way of a lost tail. What stands at which
// position is in the comments.
func audited(t *testing.T) *exhibit {
	t.Helper()
	e := &exhibit{front: newFront(t, nil), issued: map[string]allocation.Request{}, excepted: map[string]bool{}}
	e.books, e.tape = e.Ledger("auditor"), e.Stream("auditor")
	e.of, e.other = e.OpenSale(8, 2), e.OpenSale(4, 2)
	stopRecorder := e.record()
	e.checkOut()
	stop := e.decide()
	e.pack(e.of, 1, e.ask("ann", 1))                                                                                   // 1 granted
	e.pack(e.of, 4, e.ask("bob", 1), e.late(2), e.ask("ann", 1))                                                       // 2 taken, 3 expired, 4 repeats
	e.publish(e.of, 5, []byte(garbage))                                                                                // 5 malformed
	e.pack(e.of, 6, e.ask("ann", 2))                                                                                   // 6 granted
	e.pack(e.of, 7, e.ask("ann", 3))                                                                                   // 7 limit
	e.pack(e.of, 8, e.ask("cat", 4))                                                                                   // 8 granted
	e.pack(e.other, 1, e.ask("ann", 9))                                                                                //
	e.pack(e.other, 2, e.ask("bob", 9))                                                                                //
	stop()                                                                                                             //
	saved := e.saveSale(e.of.ID)                                                                                       // sequence 7
	stop = e.decide()                                                                                                  //
	e.pack(e.of, 9, e.ask("fay", 5))                                                                                   // 9 granted
	e.pack(e.of, 12, e.ask("gus", 5), e.ask("fay", 5), e.late(6))                                                      // 10 taken, 11 repeats, 12 expired
	e.publish(e.of, 13, []byte(garbage))                                                                               // 13 malformed
	e.pack(e.of, 14, e.ask("fay", 6))                                                                                  // 14 granted
	e.pack(e.of, 15, e.ask("fay", 7))                                                                                  // 15 limit
	stop()                                                                                                             //
	e.restoreSale(e.of.ID, saved)                                                                                      //
	stop = e.decide()                                                                                                  //
	servicetest.Eventually(t, "a hole is recorded", func() bool { return e.Count(`SELECT count(*) FROM holes`) == 1 }) //
	e.pack(e.of, 16, e.ask("fay", 5))                                                                                  // 16 repeats
	e.pack(e.of, 17, e.ask("hal", 3))                                                                                  // 17 granted
	e.pack(e.of, 19, e.ask("kim", 7), e.ask("kim", 8))                                                                 // 18, 19 granted
	e.pack(e.of, 20, e.ask("zoe", 1))                                                                                  // 20 sold out
	e.publish(e.of, 21, []byte(garbage))                                                                               // 21 malformed
	stop()
	e.refuseCheckouts()
	servicetest.Eventually(t, "attempts are recorded", func() bool {
		for _, id := range []sale.ID{0, e.of.ID, e.other.ID} {
			of := wire.AttemptStream{Sale: id}
			if id == 0 {
				of.Part = 1
			}
			info, err := e.tape.AttemptInfo(t.Context(), of)
			at, errAt := e.books.AttemptCursor(t.Context(), of)
			if err != nil || errAt != nil || at.Sequence < info.Last {
				return false
			}
		}
		return true
	})
	stopRecorder()
	e.recorded = recordTape(t, e.tape, 0, e.of.ID, e.other.ID)
	return e
}

// record runs a recorder, which learns of the sales from the directory.
func (e *exhibit) record() (stop func()) {
	e.T.Helper()
	directory, err := e.tape.Directory(e.T.Context())
	for _, of := range []sale.Sale{e.of, e.other} {
		if err == nil {
			err = directory.Put(e.T.Context(), wire.Entry{Sale: of, State: sale.Open})
		}
	}
	if err != nil {
		e.T.Fatal(err)
	}
	r, err := recorder.New(recorder.DefaultConfig(), e.Ledger("recorder"), e.Stream("recorder"), e.Log, prometheus.NewRegistry())
	if err != nil {
		e.T.Fatal(err)
	}
	return e.Run(r.Run)
}

// decide runs an allocator.
func (e *exhibit) decide() (stop func()) {
	e.T.Helper()
	name := fmt.Sprintf("allocator-%d", time.Now().UnixNano())
	a, err := allocator.New(allocator.DefaultConfig(), e.Ledger(name), e.Stream(name), e.Cache(name), e.Log, prometheus.NewRegistry())
	if err != nil {
		e.T.Fatal(err)
	}
	return e.Run(a.Run)
}

// checkOut gets all codes that are sent later.
func (e *exhibit) checkOut() {
	e.T.Helper()
	for user, items := range map[string][]int64{
		"ann": {1, 2, 3, 9}, "bob": {1, 9}, "cat": {4}, "fay": {5, 6, 7}, "gus": {5}, "hal": {3}, "kim": {7, 8}, "zoe": {1},
	} {
		for _, item := range items {
			claims, err := e.Keys.Verify(e.Checkout(e.T, user, item).Code)
			if err != nil {
				e.T.Fatal(err)
			}
			e.issued[fmt.Sprint(user, " ", item)] = allocation.Request{
				Number: 1, Code: claims.ID, Item: claims.Item, User: claims.User, Expires: claims.Expires,
			}
		}
	}
}

// refuseCheckouts leaves attempts that got no code.
func (e *exhibit) refuseCheckouts() {
	e.T.Helper()
	cache := e.Cache("teller")
	servicetest.Eventually(e.T, "zoe is told that it is sold out", func() bool {
		if e.Post(e.T, servicetest.CheckoutPath("zoe", 1)).Status == http.StatusGone {
			return true
		}
		// The allocator, which has gone, could not tell the cache in time.
		mark, err := cache.Mark(e.T.Context(), e.of.UUID)
		if err == nil {
			_, _ = cache.Learn(e.T.Context(), e.of.UUID, mark, mark, &allocation.Facts{SoldOut: true})
		}
		return false
	})
	e.Post(e.T, servicetest.CheckoutPath("zoe", 9))  // taken
	e.Post(e.T, "/checkout?user_id=%00&id=1")        // invalid
	e.Post(e.T, servicetest.CheckoutPath("zoe", 99)) // no sale has the item
}

func (e *exhibit) ask(user string, item sale.ItemID) allocation.Request {
	e.T.Helper()
	r, ok := e.issued[fmt.Sprint(user, " ", item)]
	if !ok {
		e.T.Fatalf("%s has no code for item %v", user, item)
	}
	return r
}

// late is a request whose code has expired; no checkout gave it.
func (e *exhibit) late(item sale.ItemID) allocation.Request {
	return allocation.Request{Number: 1, Code: code.ID{byte(item), 1}, Item: item, User: expired, Expires: 1}
}

// pack publishes requests and waits until all is decided, up to a position.
func (e *exhibit) pack(of sale.Sale, upTo int64, requests ...allocation.Request) {
	e.T.Helper()
	e.publish(of, upTo, wire.AppendPack(nil, "test", requests))
}

func (e *exhibit) publish(of sale.Sale, upTo int64, data []byte) {
	e.T.Helper()
	if err := e.tape.PublishPack(e.T.Context(), of.ID, data); err != nil {
		e.T.Fatal(err)
	}
	servicetest.Eventually(e.T, fmt.Sprint("decided to position ", upTo), func() bool {
		return e.Count(`SELECT position FROM cursors WHERE sale_id = $1`, int64(of.ID)) == upTo
	})
}

// saveSale copies the store of a sale's stream, as an operator may who stops
// NATS for it.
func (e *exhibit) saveSale(id sale.ID) (folder string) {
	e.T.Helper()
	folder = filepath.Join(e.T.TempDir(), "saved")
	e.whileStopped(func() error { return exec.Command("cp", "-a", e.storeOf(id), folder).Run() })
	return folder
}

// restoreSale puts the copy back: what came since is lost.
func (e *exhibit) restoreSale(id sale.ID, folder string) {
	e.T.Helper()
	e.whileStopped(func() error {
		if err := os.RemoveAll(e.storeOf(id)); err != nil {
			return err
		}
		return exec.Command("cp", "-a", folder, e.storeOf(id)).Run()
	})
}

func (e *exhibit) storeOf(id sale.ID) string {
	return filepath.Join(e.NATS.Dir(), "jetstream", "$G", "streams", "SALE_"+id.String())
}

func (e *exhibit) whileStopped(do func() error) {
	e.T.Helper()
	e.StopNATS()
	err := do()
	e.StartNATS()
	if err != nil {
		e.T.Fatal(err)
	}
	servicetest.Eventually(e.T, "NATS answers", func() bool { return e.tape.Ping(e.T.Context()) == nil })
}

func (f *front) audit(t *testing.T, id sale.ID) *auditor.Report {
	t.Helper()
	r, err := auditor.Audit(t.Context(), f.Ledger("auditor"), f.Stream("auditor"), id, auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAuditOfAnHonestSaleIsClean(t *testing.T) {
	t.Parallel()
	e := audited(t)
	r := e.audit(t, e.of.ID)
	if !r.Clean() || r.Sold != 8 || r.Decisions != 12 || r.Unproved != 6 || r.Position != 21 || r.Holes != 1 || r.Commits != 16 {
		t.Errorf("%+v", r)
	}
	if r := e.audit(t, e.other.ID); !r.Clean() || r.Sold != 1 || r.Attempts != 3 {
		t.Errorf("%+v", r)
	}
	if r, err := auditor.AuditRest(t.Context(), e.books, e.tape); err != nil || !r.Clean() || r.Attempts != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// exec writes into the tables, past the ledger.
func (f *front) exec(t *testing.T, sql string) {
	t.Helper()
	f.Spoilt = true
	if _, err := f.DB.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
