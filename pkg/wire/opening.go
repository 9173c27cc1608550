package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"notsale/pkg/sale"
)

// Version is the version of all messages that this program writes and reads.
const Version = 1

// MaxPackRequests is the most requests one pack may hold: it bounds the work
// between two commits.
const MaxPackRequests = 1000

// MaxMessage is the most bytes of one message that an edge or allocator
// writes: half of NATS's default limit of 1 MiB, so that headers always fit.
const MaxMessage = 512 << 10

// ErrVersion reports a message of another version: nothing may be decided from
// it; upgrade this program first.
var ErrVersion = errors.New("wire: message of an unknown version")

// ErrMessage reports a message of which this program can read nothing.
var ErrMessage = errors.New("wire: unreadable message")

type opening struct {
	Version      int          `json:"v"`
	Kind         string       `json:"kind"`
	Installation sale.UUID    `json:"installation"`
	UUID         sale.UUID    `json:"sale"`
	ID           sale.ID      `json:"number"`
	OpensAt      sale.Instant `json:"opens_at"`
	Stock        int          `json:"stock"`
	UserLimit    int          `json:"user_limit"`
	FirstItem    sale.ItemID  `json:"first_item"`
	Seed         uint64       `json:"seed,string"`
	Rules        int          `json:"rules"`
}

const kindOpening = "opening"

// EncodeOpening writes a sale's opening record.
func EncodeOpening(s sale.Sale) []byte {
	text, err := json.Marshal(opening{
		Version: Version, Kind: kindOpening, Installation: s.Installation, UUID: s.UUID, ID: s.ID,
		OpensAt: sale.InstantOf(s.OpensAt), Stock: s.Stock, UserLimit: s.UserLimit,
		FirstItem: s.FirstItem, Seed: s.Seed, Rules: s.Rules,
	})
	if err != nil {
		panic(fmt.Sprintf("wire: a sale always encodes: %v", err))
	}
	return text
}

// DecodeOpening reads an opening record and validates the sale in it.
func DecodeOpening(data []byte) (sale.Sale, error) {
	var o opening
	if err := json.Unmarshal(data, &o); err != nil {
		return sale.Sale{}, fmt.Errorf("%w: opening record: %w", ErrMessage, err)
	}
	if o.Version != Version {
		return sale.Sale{}, fmt.Errorf("%w: opening record of version %d", ErrVersion, o.Version)
	}
	if o.Kind != kindOpening {
		return sale.Sale{}, fmt.Errorf("%w: message 1 is no opening record", ErrMessage)
	}
	s := sale.Sale{
		Installation: o.Installation, UUID: o.UUID, ID: o.ID, OpensAt: o.OpensAt.Time().Truncate(time.Microsecond),
		Stock: o.Stock, UserLimit: o.UserLimit, FirstItem: o.FirstItem, Seed: o.Seed, Rules: o.Rules,
	}
	if err := s.Validate(); err != nil {
		return sale.Sale{}, fmt.Errorf("%w: opening record: %w", ErrMessage, err)
	}
	return s, nil
}

// Entry is what the directory of sales says of one sale.
type Entry struct {
	Sale  sale.Sale
	State sale.State
}

type entryJSON struct {
	Version int             `json:"v"`
	Kind    string          `json:"kind"`
	State   sale.State      `json:"state"`
	Opening json.RawMessage `json:"opening"`
}

const kindEntry = "sale"

// EncodeEntry writes a directory entry.
func EncodeEntry(e Entry) []byte {
	text, err := json.Marshal(entryJSON{Version: Version, Kind: kindEntry, State: e.State, Opening: EncodeOpening(e.Sale)})
	if err != nil {
		panic(fmt.Sprintf("wire: an entry always encodes: %v", err))
	}
	return text
}

// DecodeEntry reads a directory entry. Its state may be one that only a newer program
// knows; every sale that is neither Preparing nor closed counts as open. So an old
// edge that does not know Archiving publishes to a sealed stream and answers 503
// until it is replaced, which is acceptable during an upgrade.
func DecodeEntry(data []byte) (Entry, error) {
	var e entryJSON
	if err := json.Unmarshal(data, &e); err != nil {
		return Entry{}, fmt.Errorf("%w: directory entry: %w", ErrMessage, err)
	}
	if e.Version != Version || e.Kind != kindEntry {
		return Entry{}, fmt.Errorf("%w: directory entry of version %d", ErrVersion, e.Version)
	}
	s, err := DecodeOpening(e.Opening)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Sale: s, State: e.State}, nil
}
