package wire

import (
	"encoding/json"
	"fmt"

	"notsale/pkg/sale"
)

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
