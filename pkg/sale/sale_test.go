package sale_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"notsale/pkg/sale"
)

func valid() sale.Sale {
	return sale.Sale{
		Installation: sale.UUID{1}, UUID: sale.UUID{2}, ID: 3, OpensAt: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC),
		Stock: 10_000, UserLimit: 10, FirstItem: 20_001, Seed: 7, Rules: sale.RulesVersion,
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(s *sale.Sale)
		wrong  string // what the error names; empty: there is none
	}{
		{"the usual", func(*sale.Sale) {}, ""},
		{"the smallest", func(s *sale.Sale) { s.ID, s.Stock, s.UserLimit, s.FirstItem, s.Seed = 1, 1, 1, 1, 0 }, ""},
		{"the largest", func(s *sale.Sale) {
			s.ID, s.Stock, s.UserLimit, s.Seed = 1<<63-1, sale.MaxStock, sale.MaxUserLimit, 1<<63-1
			s.FirstItem = sale.MaxItemID - sale.MaxStock
		}, ""},
		{"later rules", func(s *sale.Sale) { s.Rules = 99 }, ""},
		{"no installation", func(s *sale.Sale) { s.Installation = sale.UUID{} }, "installation"},
		{"no UUID", func(s *sale.Sale) { s.UUID = sale.UUID{} }, "sale id"},
		{"number 0", func(s *sale.Sale) { s.ID = 0 }, "number 0"},
		{"a negative number", func(s *sale.Sale) { s.ID = -1 }, "number -1"},
		{"no opening time", func(s *sale.Sale) { s.OpensAt = time.Time{} }, "opening time"},
		{"no stock", func(s *sale.Sale) { s.Stock = 0 }, "stock 0"},
		{"a negative stock", func(s *sale.Sale) { s.Stock = -1 }, "stock -1"},
		{"too large a stock", func(s *sale.Sale) { s.Stock = sale.MaxStock + 1 }, "stock 1000001"},
		{"no limit", func(s *sale.Sale) { s.UserLimit = 0 }, "limit 0"},
		{"too high a limit", func(s *sale.Sale) { s.UserLimit = sale.MaxUserLimit + 1 }, "limit 1001"},
		{"item 0", func(s *sale.Sale) { s.FirstItem = 0 }, "first item 0"},
		{"items beyond the last id", func(s *sale.Sale) { s.FirstItem = sale.MaxItemID }, "first item"},
		{"a seed that no bigint holds", func(s *sale.Sale) { s.Seed = 1 << 63 }, "seed"},
		{"no rules", func(s *sale.Sale) { s.Rules = 0 }, "rules"},
	} {
		s := valid()
		c.change(&s)
		err := s.Validate()
		if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
		}
	}
}

// A valid sale has exactly as many items as its stock, each with a valid id.
func TestItemsOfASale(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := valid()
		s.Stock = rapid.IntRange(1, sale.MaxStock).Draw(t, "stock")
		s.FirstItem = sale.ItemID(rapid.Int64Range(1, int64(sale.MaxItemID)).Draw(t, "first"))
		if s.Validate() != nil {
			t.Skip("beyond the last id")
		}
		if n := int64(s.LastItem() - s.FirstItem + 1); n != int64(s.Stock) {
			t.Fatalf("%d items", n)
		}
		for item, want := range map[sale.ItemID]bool{s.FirstItem - 1: false, s.FirstItem: true, s.LastItem(): true, s.LastItem() + 1: false} {
			if s.Contains(item) != want {
				t.Fatalf("item %d: %v, want %v", item, !want, want)
			}
		}
		if _, err := sale.ParseItemID(s.LastItem().String()); err != nil {
			t.Fatalf("the last item's id: %v", err)
		}
	})
}

func TestInstants(t *testing.T) {
	t.Parallel()
	berlin := time.FixedZone("CET", 3600)
	for _, c := range []struct {
		at   time.Time
		want sale.Instant
		text string
	}{
		{time.Unix(0, 0), 0, "1970-01-01T00:00:00.000000Z"},
		{time.Unix(0, 1999), 1, "1970-01-01T00:00:00.000001Z"},
		{time.Unix(-1, 0), -1_000_000, "1969-12-31T23:59:59.000000Z"},
		{time.Date(2026, 1, 2, 4, 0, 0, 120_000_000, berlin), 1_767_322_800_120_000, "2026-01-02T03:00:00.120000Z"},
		{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), 253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"},
	} {
		got := sale.InstantOf(c.at)
		if got != c.want || got.String() != c.text {
			t.Errorf("%v: %d %v, want %d %s", c.at, got, got, c.want, c.text)
		}
		if back := got.Time(); back.Location() != time.UTC || sale.InstantOf(back) != got {
			t.Errorf("%v: back as %v", c.at, back)
		}
		if read, err := time.Parse(time.RFC3339Nano, got.String()); err != nil || !read.Equal(got.Time()) {
			t.Errorf("%s is read as %v, %v", got, read, err)
		}
	}
}

func TestStateNamesAreStored(t *testing.T) {
	t.Parallel()
	for state, want := range map[sale.State]string{
		sale.Preparing: "preparing", sale.Open: "open", sale.SoldOut: "sold_out", sale.Archiving: "archiving", sale.Archived: "archived",
	} {
		if string(state) != want {
			t.Errorf("%s, want %s", state, want)
		}
	}
}

func TestStatesMoveForward(t *testing.T) {
	t.Parallel()
	inOrder := []sale.State{sale.Preparing, sale.Open, sale.SoldOut, sale.Archiving, sale.Archived, "a state of a later version"}
	for i, one := range inOrder {
		for j, other := range inOrder {
			if one.After(other) != (i > j) {
				t.Errorf("%s after %s: %v", one, other, one.After(other))
			}
		}
		if closed := one == sale.Archiving || one == sale.Archived; one.Closed() != closed {
			t.Errorf("%s: closed %v, want %v", one, one.Closed(), closed)
		}
	}
}
