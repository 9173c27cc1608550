package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// format names the format and its version.
const format = "notsale/archive/1"

// The members that are no section.
const (
	readmeName   = "README.txt"
	manifestName = "manifest.json"
	sumName      = "manifest.sha256"
)

// The sections.
const (
	sectionSale           = "sale"
	sectionCommits        = "commits"
	sectionDecisions      = "decisions"
	sectionAttempts       = "attempts"
	sectionStream         = "stream"
	sectionAttemptsStream = "attempts-stream"
)

const (
	// chunkSize is at how many bytes of records a member ends. It is a part of
	// the format.
	chunkSize = 4 << 20
	// maxRecord bounds a record: eight times the largest message.
	maxRecord = 4 << 20
	maxPlain  = chunkSize + maxRecord // of a member, decompressed
	maxStored = maxPlain + 64<<10     // of a member; what cannot be compressed grows a little
	// maxManifest bounds a manifest: about 40,000 members, or 160 GB of records.
	maxManifest = 16 << 20
)

// Sum is a SHA-256 value, written in hexadecimal.
type Sum [sha256.Size]byte

// String returns 64 hexadecimal digits.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText writes what String returns.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return errors.New("archive: a SHA-256 has 64 digits")
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Manifest says what an archive holds. It follows from the members.
type Manifest struct {
	Format       string   `json:"format"`
	Number       sale.ID  `json:"number"` // of the sale, as the ledger has it
	Opening      Opening  `json:"opening"`
	State        string   `json:"state"` // sale.State when it was exported
	Cursor       Cursor   `json:"cursor"`
	AttemptFloor uint64   `json:"attempt_floor"` // up to which message of attempts all are recorded for certain
	Counts       Counts   `json:"counts"`
	Members      []Member `json:"members"` // in the order of the file, all but the manifest and its sum
}

// Opening is what the sale's opening record says.
type Opening struct {
	Installation sale.UUID    `json:"installation"`
	UUID         sale.UUID    `json:"uuid"`
	Number       sale.ID      `json:"number"`
	OpensAt      sale.Instant `json:"opens_at"`
	Stock        int          `json:"stock"`
	UserLimit    int          `json:"user_limit"`
	FirstItem    sale.ItemID  `json:"first_item"`
	Seed         uint64       `json:"seed,string"`
	Rules        int          `json:"rules"`
}

// Cursor is how far the sale was decided.
type Cursor struct {
	Generation int64        `json:"generation"`
	Sequence   uint64       `json:"sequence"`
	Position   int64        `json:"position"`
	Sold       int          `json:"sold"`
	Chain      Sum          `json:"chain"`
	PackHash   Sum          `json:"pack_hash"`
	PackTime   sale.Instant `json:"pack_time"`
	EngineTime sale.Instant `json:"engine_time"`
}

// Counts are how many records there are.
type Counts struct {
	Holes           int64 `json:"holes"`
	Items           int64 `json:"items"`
	Beyond          int64 `json:"beyond"` // rows that no commit up to the cursor wrote
	Commits         int64 `json:"commits"`
	Decisions       int64 `json:"decisions"`
	Attempts        int64 `json:"attempts"`
	Messages        int64 `json:"messages"`
	AttemptMessages int64 `json:"attempt_messages"`
}

// Member is one member of the archive.
type Member struct {
	Name     string `json:"name"`
	Records  int64  `json:"records"`
	First    int64  `json:"first,omitempty"` // sequence or position of the first record
	Size     int64  `json:"size"`            // stored
	Sum      Sum    `json:"sha256"`          // of the stored bytes
	Plain    int64  `json:"decoded_size"`
	PlainSum Sum    `json:"decoded_sha256"`
}

// Encode returns the manifest as it is written.
func (m *Manifest) Encode() []byte {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("archive: a manifest always encodes: %v", err))
	}
	return append(text, '\n')
}

// Sum returns the SHA-256 of the manifest, by which the whole archive is known.
func (m *Manifest) Sum() Sum { return sha256.Sum256(m.Encode()) }

// SoldOut reports whether nothing was left to buy when the sale was exported.
// If not, the archive holds the sale so far.
func (m *Manifest) SoldOut() bool { return m.Cursor.Sold == m.Opening.Stock }

// sumLine is the content of manifest.sha256, as sha256sum writes it.
func sumLine(manifest []byte) []byte {
	return fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(manifest), manifestName)
}

// parseManifest reads a manifest in the one spelling that Encode writes.
func parseManifest(text []byte) (Manifest, error) {
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return Manifest{}, err
	}
	if m.Format != format {
		return Manifest{}, fmt.Errorf("the format is %q, not %q", m.Format, format)
	}
	if !bytes.Equal(m.Encode(), text) {
		return Manifest{}, errors.New("it is not spelt as a manifest is")
	}
	for i := range m.Members {
		if m.Members[i].Size > maxStored {
			return Manifest{}, fmt.Errorf("member %s is larger than members are", m.Members[i].Name)
		}
	}
	return m, nil
}

// sectionOf returns the section of a member; of README.txt that is none.
func sectionOf(member string) string {
	section, _, _ := strings.Cut(member, "/")
	return section
}

// describe takes in what is known before members are written.
func (m *Manifest) describe(s *ledger.Snapshot, o *sale.Sale, floor uint64) {
	c := &s.Position.Cursor
	m.Number, m.State, m.AttemptFloor = s.Sale.Sale.ID, string(s.Sale.State), floor
	m.Opening = Opening{
		Installation: o.Installation, UUID: o.UUID, Number: o.ID, OpensAt: sale.InstantOf(o.OpensAt), Stock: o.Stock,
		UserLimit: o.UserLimit, FirstItem: o.FirstItem, Seed: o.Seed, Rules: o.Rules,
	}
	m.Cursor = Cursor{
		Generation: c.Generation, Sequence: c.Sequence, Position: c.Position, Sold: c.Sold,
		Chain: Sum(c.Chain), PackHash: Sum(c.PackHash), PackTime: c.PackTime, EngineTime: c.Now,
	}
	m.Counts.Holes, m.Counts.Items, m.Counts.Beyond = int64(len(s.Holes)), int64(len(s.Items)), int64(len(s.Beyond))
}
