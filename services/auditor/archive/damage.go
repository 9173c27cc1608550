package archive

import (
	"errors"
	"fmt"
)

// ErrDamaged is what every Damage is: an archive is not as it was written.
var ErrDamaged = errors.New("archive: damaged")

// Damage is the first place at which an archive is found not to be as it was
// written.
type Damage struct {
	Member string // name; empty: of no member that can be told
	Offset int64  // in the file: of the byte, or of where the member begins
	Want   string
	Got    string
}

// Error returns the damage as one line.
func (d *Damage) Error() string {
	member := d.Member
	if member == "" {
		member = "the tar"
	}
	return fmt.Sprintf("%v: %s, at byte %d: want %s, got %s", ErrDamaged, member, d.Offset, d.Want, d.Got)
}

// Is makes a Damage ErrDamaged.
func (d *Damage) Is(err error) bool { return err == ErrDamaged } //nolint:errorlint // as errors.Is asks it
