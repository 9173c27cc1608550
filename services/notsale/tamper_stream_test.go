//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// TestAuditNamesTheAlteredMessage alters each message of the stream in each way;
// the first finding says which it was.
func TestAuditNamesTheAlteredMessage(t *testing.T) {
	t.Parallel()
	e := audited(t)
	id, own := e.of.ID, e.recorded.packs[e.of.ID]
	request := func(change func(*allocation.Request)) func([]stream.Message, int) []stream.Message {
		return func(list []stream.Message, i int) []stream.Message {
			edge, requests, err := wire.DecodePack(list[i].Data)
			if err != nil {
				return nil // garbage has no requests
			}
			change(&requests[len(requests)-1])
			list[i].Data = wire.AppendPack(nil, edge, requests)
			return list
		}
	}
	for name, alter := range map[string]func(list []stream.Message, i int) []stream.Message{
		"another item":   request(func(r *allocation.Request) { r.Item++ }),
		"another user":   request(func(r *allocation.Request) { r.User += "x" }),
		"another expiry": request(func(r *allocation.Request) { r.Expires++ }),
		"another code":   request(func(r *allocation.Request) { r.Code = code.ID{0xff} }),
		"another number": request(func(r *allocation.Request) { r.Number++ }),
		"a second request": func(list []stream.Message, i int) []stream.Message {
			edge, requests, err := wire.DecodePack(list[i].Data)
			if err != nil {
				return nil
			}
			list[i].Data = wire.AppendPack(nil, edge, append(requests, allocation.Request{Number: 9, Code: code.ID{0xff}, Item: 1, User: "x", Expires: 1}))
			return list
		},
		"a later time":  func(list []stream.Message, i int) []stream.Message { list[i].Time++; return list },
		"an early time": func(list []stream.Message, i int) []stream.Message { list[i].Time -= 1_000_000; return list },
		"garbage":       func(list []stream.Message, i int) []stream.Message { list[i].Data = []byte("!"); return list },
		"dropped":       func(list []stream.Message, i int) []stream.Message { return slices.Delete(list, i, i+1) },
		"sent twice":    func(list []stream.Message, i int) []stream.Message { return slices.Insert(list, i, list[i-1]) },
		"another before": func(list []stream.Message, i int) []stream.Message {
			return slices.Insert(list, i, stream.Message{Time: list[i].Time})
		},
		"swapped with the next": func(list []stream.Message, i int) []stream.Message {
			if i+1 == len(list) {
				return nil
			}
			list[i], list[i+1] = list[i+1], list[i]
			return list
		},
	} {
		for i := 1; i < len(own); i++ {
			r := e.recorded.copy()
			if r.packs[id] = alter(r.packs[id], i); r.packs[id] == nil {
				continue
			}
			renumber(r.packs[id])
			report, err := e.audits(t, r, id)
			if err != nil {
				t.Fatal(err)
			}
			if report.Clean() || report.Findings[0].Sequence != own[i].Sequence {
				t.Errorf("message %d %s: %v", own[i].Sequence, name, report.Findings)
			}
		}
	}
	if found := e.find(t, e.recorded); len(found) > 0 {
		t.Errorf("unaltered: %q", found)
	}
}

// The fields of the opening record are compared with the row of sales; that
// it was the record is told by the chain, from the first commit on. Only the
// time at which it was stored is in no row, once a pack was decided.
func TestAuditNamesTheAlteredOpening(t *testing.T) {
	t.Parallel()
	e := audited(t)
	for field, change := range map[string]func(*sale.Sale){
		"sale_uuid":    func(s *sale.Sale) { s.UUID[3]++ },
		"installation": func(s *sale.Sale) { s.Installation[3]++ },
		"opens_at":     func(s *sale.Sale) { s.OpensAt = s.OpensAt.Add(time.Second) },
		"stock":        func(s *sale.Sale) { s.Stock++ },
		"user_limit":   func(s *sale.Sale) { s.UserLimit++ },
		"first_item":   func(s *sale.Sale) { s.FirstItem++ },
		"seed":         func(s *sale.Sale) { s.Seed++ },
		"sale_id":      func(s *sale.Sale) { s.ID = 77 },
		"":             func(*sale.Sale) {}, // the record says the same in other words
	} {
		r := e.recorded.copy()
		o := r.openings[e.of.ID]
		change(&o.Sale)
		o.Message.Data = wire.EncodeOpening(o.Sale)
		if field == "" {
			o.Message.Data = append(o.Message.Data, ' ')
		}
		r.openings[e.of.ID] = o
		r.packs[e.of.ID][0] = o.Message
		report, err := e.audits(t, r, e.of.ID)
		if err != nil {
			t.Fatal(err)
		}
		if report.Clean() {
			t.Errorf("%s: not found", field)
		} else if f := report.Findings[0]; field != "" && (f.Table != "sales" || f.Field != field || f.Sequence != 1) {
			t.Errorf("%s: %v", field, report.Findings[0])
		} else if field == "" && (f.Table != "commits" || f.Field != "chain" || f.Sequence != 2) {
			t.Errorf("other words: %v", report.Findings[0])
		}
	}
}

// Who may do everything in NATS can make the stream again, of the same messages
// or others. The server gives them new times, so the first pack tells.
func TestAuditFindsAStreamMadeAgain(t *testing.T) {
	t.Parallel()
	e := audited(t)
	e.Spoilt = true
	nc, err := nats.Connect(e.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func([]stream.Message) []stream.Message{
		"the same":   func(list []stream.Message) []stream.Message { return list },
		"one less":   func(list []stream.Message) []stream.Message { return slices.Delete(list, 5, 6) },
		"the last":   func(list []stream.Message) []stream.Message { return list[:len(list)-1] },
		"one other":  func(list []stream.Message) []stream.Message { list[5].Data = []byte("!"); return list },
		"two turned": func(list []stream.Message) []stream.Message { list[5], list[6] = list[6], list[5]; return list },
	} {
		e.makeAgain(t, js, alter(slices.Clone(e.recorded.packs[e.of.ID])))
		report, err := e.audits(t, e.tape, e.of.ID)
		if err != nil {
			t.Fatal(err)
		}
		if report.Clean() || report.Findings[0].Sequence != 2 {
			t.Errorf("%s: %v", name, report.Findings)
		}
	}
}

// makeAgain deletes the sale's stream and publishes messages to a new one.
func (e *exhibit) makeAgain(t *testing.T, js jetstream.JetStream, messages []stream.Message) {
	t.Helper()
	name := "SALE_" + e.of.ID.String()
	s, err := js.Stream(t.Context(), name)
	if err == nil {
		err = js.DeleteStream(t.Context(), name)
	}
	if err == nil {
		_, err = js.CreateStream(t.Context(), s.CachedInfo().Config)
	}
	for i := range messages {
		if err == nil {
			_, err = js.Publish(t.Context(), s.CachedInfo().Config.Subjects[0], messages[i].Data)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAuditNamesTheAlteredAttempt alters the stream of attempts.
func TestAuditNamesTheAlteredAttempt(t *testing.T) {
	t.Parallel()
	e := audited(t)
	id := e.of.ID
	for i, m := range e.recorded.attempts[id] {
		edge, list, err := wire.DecodeAttempts(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for j := range list {
			row := fmt.Sprintf("1 checkout_attempts %s ", list[j].ID)
			e.testAttempts(t, edge, i, m.Sequence, slices.Delete(slices.Clone(list), j, j+1), row+"unfounded", 0)
			for field, change := range attemptChanges(list[j].Outcome) {
				altered := slices.Clone(list)
				change(&altered[j])
				e.testAttempts(t, edge, i, m.Sequence, altered, row+"differs "+field, m.Sequence)
			}
			other := slices.Clone(list)
			other[j].Sale = e.other.ID
			e.testAttempts(t, edge, i, m.Sequence, other, row+"unfounded", 0)
			e.testAttempts(t, edge+"x", i, m.Sequence, list[:1], strings.ReplaceAll(row, list[j].ID.String(), list[0].ID.String())+"differs edge", m.Sequence)
		}
		made := list[0]
		made.ID = sale.UUID{0xff}
		e.testAttempts(t, edge, i, m.Sequence, append(slices.Clone(list), made), fmt.Sprintf("1 checkout_attempts %s missing", made.ID), m.Sequence)
	}
}

// attemptChanges are changes of an attempt that its outcome allows, by column.
func attemptChanges(outcome wire.Outcome) map[string]func(*wire.Attempt) {
	changes := map[string]func(*wire.Attempt){
		"attempted_at": func(a *wire.Attempt) { a.At++ },
		"user_param":   func(a *wire.Attempt) { a.User += "x" },
		"item_param":   func(a *wire.Attempt) { a.Item += "1" },
	}
	if outcome == wire.Issued {
		changes["code_id"] = func(a *wire.Attempt) { a.Code = code.ID{0xff} }
		changes["expires_at"] = func(a *wire.Attempt) { a.Expires++ }
	} else {
		changes["outcome"] = func(a *wire.Attempt) {
			if a.Outcome = wire.UnknownItem; outcome == wire.UnknownItem {
				a.Outcome = wire.SoldOut
			}
		}
	}
	return changes
}

// testAttempts audits with a message of attempts replaced, without those that
// its list lacks beside the first.
func (e *exhibit) testAttempts(t *testing.T, edge string, i int, sequence uint64, list []wire.Attempt, want string, at uint64) {
	t.Helper()
	r := e.recorded.copy()
	r.attempts[e.of.ID][i].Data = wire.AppendAttempts(nil, edge, list)
	report, err := e.audits(t, r, e.of.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if strings.TrimSpace(fmt.Sprintf("%d %s %s %s %s", f.Sale, f.Table, f.Row, f.Kind, f.Field)) == want && f.Sequence == at {
			if report.Total > 1 && !strings.HasSuffix(want, "edge") {
				t.Errorf("message %d: %v, want one finding", sequence, report.Findings)
			}
			return
		}
	}
	t.Errorf("message %d: %v, want %q at %d", sequence, report.Findings, want, at)
}
