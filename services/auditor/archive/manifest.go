package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// format names the format and its version.
const format = "notsale/archive/1"

// The members that are no section.
const (
	readmeName   = "README.txt"
	manifestName = "manifest.json"
	sumName      = "manifest.sha256"
)

// The sections, in the order in which they are written.
const (
	sectionSale           = "sale"
	sectionCommits        = "commits"
	sectionDecisions      = "decisions"
	sectionAttempts       = "attempts"
	sectionStream         = "stream"
	sectionAttemptsStream = "attempts-stream"
)

var sections = [...]string{sectionSale, sectionCommits, sectionDecisions, sectionAttempts, sectionStream, sectionAttemptsStream}

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

// Encode returns the manifest as it stands in the archive.
func (m *Manifest) Encode() []byte {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("archive: a manifest always encodes: %v", err))
	}
	return append(text, '\n')
}

// Sum returns the SHA-256 of the manifest, which stands for the whole archive.
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
	var order order
	for i := range m.Members {
		one := &m.Members[i]
		if !order.next(one.Name) {
			return Manifest{}, fmt.Errorf("member %q is not in its place", one.Name)
		}
		if one.Size < 0 || one.Size > maxStored || one.Plain < 0 || one.Plain > maxPlain {
			return Manifest{}, fmt.Errorf("member %s is larger than members are", one.Name)
		}
	}
	return m, nil
}

// order tells whether members come as they must. The zero value expects the
// first.
type order struct {
	begun   bool
	section int // index in sections
	number  int // of the member in its section, 0: none yet
}

// next reports whether the member may come now.
func (o *order) next(name string) bool {
	if !o.begun {
		o.begun = true
		return name == readmeName
	}
	if name == memberName(sections[o.section], o.number+1) {
		o.number++
		return true
	}
	for i := o.section + 1; i < len(sections); i++ {
		if name == memberName(sections[i], 1) {
			o.section, o.number = i, 1
			return true
		}
	}
	return false
}

func memberName(section string, number int) string {
	return fmt.Sprintf("%s/%06d.zst", section, number)
}

// sectionOf returns the section of a member, empty for the others.
func sectionOf(name string) string {
	for _, s := range sections {
		if len(name) > len(s) && name[:len(s)] == s && name[len(s)] == '/' {
			return s
		}
	}
	return ""
}

func openingOf(s *sale.Sale) Opening {
	return Opening{
		Installation: s.Installation, UUID: s.UUID, Number: s.ID, OpensAt: sale.InstantOf(s.OpensAt), Stock: s.Stock,
		UserLimit: s.UserLimit, FirstItem: s.FirstItem, Seed: s.Seed, Rules: s.Rules,
	}
}

func cursorOf(c *allocation.Cursor) Cursor {
	return Cursor{
		Generation: c.Generation, Sequence: c.Sequence, Position: c.Position, Sold: c.Sold,
		Chain: Sum(c.Chain), PackHash: Sum(c.PackHash), PackTime: c.PackTime, EngineTime: c.Now,
	}
}

// tally gathers a manifest from what is written, or read.
type tally struct {
	manifest Manifest
}

func newTally() tally { return tally{Manifest{Format: format, Members: []Member{}}} }

// member adds a member.
func (t *tally) member(name string, stored, plain []byte, records, first int64) {
	t.manifest.Members = append(t.manifest.Members, Member{
		Name: name, Records: records, First: first, Size: int64(len(stored)), Sum: sha256.Sum256(stored),
		Plain: int64(len(plain)), PlainSum: sha256.Sum256(plain),
	})
}

// saleRecord counts a record of the section sale.
func (t *tally) saleRecord(record any) {
	m := &t.manifest
	switch r := record.(type) {
	case saleRow:
		m.Number, m.State = r.Sale.ID, string(r.State)
	case cursorRow:
		m.Cursor = cursorOf(&r.Cursor)
	case streamsRow:
		m.AttemptFloor = r.floor
	case holeRow:
		m.Counts.Holes++
	case itemRow:
		m.Counts.Items++
	case beyondRow:
		m.Counts.Beyond++
	}
}

// opening takes in message 1 of the sale's stream.
func (t *tally) opening(data []byte) error {
	s, err := wire.DecodeOpening(data)
	t.manifest.Opening = openingOf(&s)
	return err
}
