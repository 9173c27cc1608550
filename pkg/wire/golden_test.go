package wire_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

var (
	goldenSale = sale.Sale{
		Installation: sale.UUID{0x10, 15: 1}, UUID: sale.UUID{0x20, 15: 2}, ID: 7,
		OpensAt: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), Stock: 10_000, UserLimit: 10,
		FirstItem: 60_001, Seed: 1<<63 - 1, Rules: 1,
	}
	goldenPack = []allocation.Request{
		{Number: 1, Code: code.ID{1, 15: 0xff}, Item: 60_001, User: "ann@example:A-1_2.x", Expires: 1_767_323_456_789_012},
		{Number: 18, Code: code.ID{2}, Item: 70_000, User: "b", Expires: 0},
	}
	goldenReplies = []wire.Reply{
		{Number: 1, Code: code.ID{1, 15: 0xff}, Position: 42, Reason: allocation.Granted, At: 1_767_323_400_000_001},
		{Number: 18, Code: code.ID{2}, Position: 43, Reason: allocation.CodeExpired, At: 1_767_323_400_000_001},
	}
	goldenAttempts = []wire.Attempt{
		{ID: sale.UUID{3}, At: 1_767_323_400_000_000, Sale: 7, User: "ann", Item: "60001", Outcome: wire.Issued, Code: code.ID{9}, Expires: 1_767_327_000_000_000},
		{ID: sale.UUID{4}, At: 1_767_323_400_000_002, User: `"\%00%FF`, Item: "", Outcome: wire.MissingParameter},
	}
)

// Each golden message encodes to its file, unless only earlier versions do, and
// decodes to its value. A file is
// never changed: messages like it stand in streams that must be replayed.
func TestGoldenMessages(t *testing.T) {
	for name, c := range map[string]struct {
		text   []byte
		decode func([]byte) (any, error)
		want   any
	}{
		"opening": {wire.EncodeOpening(goldenSale), func(b []byte) (any, error) { return wire.DecodeOpening(b) }, goldenSale},
		"entry": {
			wire.EncodeEntry(wire.Entry{Sale: goldenSale, State: sale.Open}),
			func(b []byte) (any, error) { return wire.DecodeEntry(b) },
			wire.Entry{Sale: goldenSale, State: sale.Open},
		},
		"pack": {wire.AppendPack(nil, "edge-1", goldenPack), func(b []byte) (any, error) {
			edge, r, err := wire.DecodePack(b)
			return []any{edge, r}, err
		}, []any{"edge-1", goldenPack}},
		"replies":          {nil, func(b []byte) (any, error) { return wire.DecodeReplies(b) }, goldenReplies}, // without numbers
		"replies-numbered": {wire.AppendReplies(nil, goldenReplies), func(b []byte) (any, error) { return wire.DecodeReplies(b) }, goldenReplies},
		"attempts": {wire.AppendAttempts(nil, "edge-1", goldenAttempts), func(b []byte) (any, error) {
			edge, a, err := wire.DecodeAttempts(b)
			return []any{edge, a}, err
		}, []any{"edge-1", goldenAttempts}},
	} {
		file := filepath.Join("testdata", name+".v1.json")
		golden, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) && effort.Update() {
			golden, err = c.text, os.WriteFile(file, c.text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.text != nil && !bytes.Equal(c.text, golden) {
			t.Errorf("%s encodes to\n%s\nwant\n%s", name, c.text, golden)
		}
		if got, err := c.decode(golden); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s decodes to\n%+v, %v\nwant\n%+v", name, got, err, c.want)
		}
	}
}
