package archive

import (
	"errors"
	"fmt"
)

// ErrDamaged is wrapped by the error of reading an archive that is not as it was
// written. Verify says what is wrong with it.
var ErrDamaged = errors.New("archive: damaged")

// Part is a part of an archive.
type Part string

// The parts.
const (
	Header  Part = "header"  // of a member
	Content Part = "content" // of a member
	Padding Part = "padding" // after a member's content, up to the next block
	End     Part = "end"     // the two blocks of zeros at the end of a tar, and what comes after them
)

// Damage is one place at which an archive is not as it was written.
type Damage struct {
	Member string `json:"member,omitempty"` // name; empty: of no member that can be told
	Part   Part   `json:"part"`
	// Offset in the file: of the first byte that is wrong where that can be
	// told, else of the part.
	Offset int64  `json:"offset"`
	Want   string `json:"want"`
	Got    string `json:"got"`
}

// String returns the damage as one line.
func (d Damage) String() string {
	where := string(d.Part)
	if d.Member != "" {
		where = d.Member + ", " + where
	}
	return fmt.Sprintf("%s, at byte %d: want %s, got %s", where, d.Offset, d.Want, d.Got)
}

// err returns the damage as an error.
func (d Damage) err() error { return fmt.Errorf("%w: %v", ErrDamaged, d) }

// different returns the first place at which two texts differ, -1 if none.
func different(got, want []byte) int {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return i
		}
	}
	if len(got) != len(want) {
		return min(len(got), len(want))
	}
	return -1
}

// excerpt shows a text from a place on.
func excerpt(text []byte, from int) string {
	const most = 24
	if from >= len(text) {
		return "the end"
	}
	return fmt.Sprintf("%.*q", most, text[from:min(from+most, len(text))])
}
