//go:build unix

package simulation

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/scheduler"
)

// streams are what a scheduler calls of NATS: the model's, or the real one.
type streams struct {
	scheduler.Streams
	scheduler.Directory
}

// agree fails unless the model and the real server say the same.
func agree[T any](t *rapid.T, what string, model, real func() (T, error)) {
	t.Helper()
	a, errA := model()
	b, errB := real()
	same := (errA == nil) == (errB == nil)
	for _, known := range []error{stream.ErrLost, stream.ErrForeign} {
		same = same && errors.Is(errA, known) == errors.Is(errB, known)
	}
	if !same || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Fatalf("%s: model %v, %v; real %v, %v", what, a, errA, b, errB)
	}
}

// The model of NATS means what the real one means to schedulers: whatever they do, in
// whatever order, both say the same.
func TestTheModelOfTheStreamsIsNATS(t *testing.T) {
	stores := backendstest.New(t)
	cfg := stream.DefaultConfig()
	cfg.URL, cfg.Name, cfg.SaleBytes, cfg.AttemptBytes = stores.NATSURL, "twin", stream.MinStreamBytes, stream.MinStreamBytes
	client, err := stream.Connect(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	directory, err := client.MakeDirectory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(stores.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	model, first := natsOf{newBroker(newWorld(1), 0), nil}, sale.ID(0)
	rapid.Check(t, func(t *rapid.T) {
		first += 2
		defer func() {
			for id := first; id < first+2; id++ {
				delete(model.attempts, id)
				delete(model.sales, id)
				_ = js.DeleteStream(ctx, fmt.Sprintf("CHECKOUTS_%d", id)) // it may never have been made
				_ = js.DeleteStream(ctx, fmt.Sprintf("SALE_%d", id))
			}
		}()
		one := func(t *rapid.T) sale.Sale {
			return sale.Sale{
				Installation: sale.UUID{1}, ID: first + sale.ID(rapid.IntRange(0, 1).Draw(t, "sale")), UUID: sale.UUID{byte(rapid.IntRange(1, 2).Draw(t, "uuid"))},
				OpensAt: epoch.Time(), Stock: 1, UserLimit: 1, FirstItem: 1, Rules: 1,
			}
		}
		do := func(what string, to func(streams, sale.Sale) error) func(*rapid.T) {
			return func(t *rapid.T) {
				of := one(t)
				agree(t, what, func() (int, error) { return 0, to(streams{model, model}, of) }, func() (int, error) { return 0, to(streams{client, directory}, of) })
			}
		}
		seen := func(o stream.Opening, err error) (string, error) {
			return fmt.Sprint(o.Sale.UUID, o.Message.Sequence, string(o.Message.Data)), err
		}
		t.Repeat(map[string]func(*rapid.T){
			"checkouts": do("checkouts", func(s streams, of sale.Sale) error { return s.CreateCheckouts(ctx, of.ID) }),
			"purchases": do("purchases", func(s streams, of sale.Sale) error { return s.CreatePurchases(ctx, of.ID) }),
			"opening":   do("opening", func(s streams, of sale.Sale) error { return s.PublishOpening(ctx, of) }),
			"claim":     do("claim", func(s streams, of sale.Sale) error { return s.Claim(ctx, of.UUID) }),
			"put": func(t *rapid.T) {
				state := rapid.SampledFrom([]sale.State{sale.Open, sale.SoldOut}).Draw(t, "state")
				do("put", func(s streams, of sale.Sale) error { return s.Put(ctx, wire.Entry{Sale: of, State: state}) })(t)
			},
			"resize": func(t *rapid.T) {
				name := fmt.Sprintf("SALE_%d", one(t).ID)
				had, err := model.Size(ctx, name)
				if err != nil {
					t.Skip("it is not there")
				}
				size := rapid.Int64Range(1, 4).Draw(t, "size") << 20
				had.Bytes = 0 // the model's messages are larger
				agree(t, "resize", func() (int, error) { return 0, model.Resize(ctx, had, size) }, func() (int, error) { return 0, client.Resize(ctx, had, size) })
			},
			"": func(t *rapid.T) {
				of := one(t)
				agree(t, "the opening", func() (string, error) { return seen(model.OpeningOf(ctx, of)) }, func() (string, error) { return seen(client.OpeningOf(ctx, of)) })
				agree(t, "any opening", func() (string, error) { return seen(model.Opening(ctx, of.ID)) }, func() (string, error) { return seen(client.Opening(ctx, of.ID)) })
				ours := func(ids []sale.ID, err error) ([]sale.ID, error) {
					return slices.DeleteFunc(ids, func(id sale.ID) bool { return id < first }), err
				}
				agree(t, "sales", func() ([]sale.ID, error) { return ours(model.Sales(ctx)) }, func() ([]sale.ID, error) { return ours(client.Sales(ctx)) })
				agree(t, "entry", func() (wire.Entry, error) { return model.listed[of.ID], nil }, func() (wire.Entry, error) {
					entries, err := directory.Entries(ctx)
					return entries[of.ID], err
				})
				if !model.owner.IsZero() { // the real one counts the claim
					agree(t, "count", func() (int, error) { return model.Count(ctx) }, func() (int, error) { return directory.Count(ctx) })
				}
				reserved := func(s stream.Size, err error) (string, error) {
					return fmt.Sprint(s.Name, s.Subject, s.Kind, s.Sale, s.MaxBytes, s.Messages), err
				}
				name := fmt.Sprintf("SALE_%d", of.ID)
				agree(t, "size", func() (string, error) { return reserved(model.Size(ctx, name)) }, func() (string, error) { return reserved(client.Size(ctx, name)) })
			},
		})
	})
}

// The model of the ledger opens sales as the real one does.
func TestTheModelOpensSalesAsTheLedgerDoes(t *testing.T) {
	db, ledgers := realLedgers(t, "twin")
	real := ledgers[0]
	ctx := t.Context()
	const every = 87600 * time.Hour // no slot of the real clock ends meanwhile
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(ctx, `TRUNCATE sales, leases, allocators, cursors, decisions, items, commits, holes, archives`); err != nil {
			t.Fatal(err)
		}
		w := newWorld(1)
		model := bookOf{newBook(w), "twin", nil}
		both := func(t *rapid.T, what string, do func(scheduler.Rows) (string, error)) {
			agree(t, what, func() (string, error) { return do(model) }, func() (string, error) { return do(real) })
		}
		t.Repeat(map[string]func(*rapid.T){
			"slot": func(t *rapid.T) {
				stock := rapid.IntRange(1, 5).Draw(t, "stock")
				both(t, "slot", func(r scheduler.Rows) (string, error) {
					made, err := r.OpenSlot(ctx, ledger.Template{Every: every, Stock: stock, UserLimit: 2, Seed: 1})
					return fmt.Sprint(made), err
				})
			},
			"the next slot comes": func(t *rapid.T) {
				w.now += sale.InstantOf(time.Unix(0, 0).Add(every))
				for id := range len(model.sales) { // one by one, for no two open at a time
					if _, err := db.Exec(ctx, `UPDATE sales SET opens_at = opens_at - $1::interval WHERE sale_id = $2`, every, id+1); err != nil {
						t.Fatal(err)
					}
				}
			},
			"open": func(t *rapid.T) {
				if len(model.sales) == 0 {
					t.Skip("there is none")
				}
				id := sale.ID(rapid.IntRange(1, len(model.sales)).Draw(t, "sale"))
				genesis := allocation.Genesis(allocation.Hash{byte(rapid.IntRange(1, 2).Draw(t, "hash"))}, epoch)
				both(t, "open", func(r scheduler.Rows) (string, error) { return "", r.MarkOpen(ctx, id, genesis, epoch.Time()) })
			},
			"": func(t *rapid.T) {
				before, limit := sale.ID(rapid.IntRange(0, 4).Draw(t, "before")), rapid.IntRange(1, 3).Draw(t, "limit")
				both(t, "sales", func(r scheduler.Rows) (text string, err error) {
					rows, err := r.Sales(ctx, before, limit)
					for _, row := range rows {
						of := row.Sale
						text += fmt.Sprintln(of.ID, row.State, row.Sold, of.Stock, of.UserLimit, of.FirstItem, of.Seed, of.Rules)
					}
					return text, err
				})
				agree(t, "unsold", func() ([]sale.ID, error) { return model.UnsoldSales(ctx) }, func() ([]sale.ID, error) { return real.UnsoldSales(ctx) })
				for id := sale.ID(1); int(id) <= len(model.sales); id++ {
					if !model.sale(id).opened {
						continue
					}
					agree(t, "cursor", func() (ledger.Position, error) { return model.Cursor(ctx, id) }, func() (ledger.Position, error) { return real.Cursor(ctx, id) })
				}
			},
		})
	})
}
