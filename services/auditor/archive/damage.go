package archive

import (
	"errors"
	"fmt"
)

// ErrDamaged is what every DamageError is: an archive is not as it was written.
var ErrDamaged = errors.New("archive: damaged")

// DamageError is the first place at which an archive is found not to be as it was
// written.
type DamageError struct {
	Member string // name; empty: of no member that can be told
	Offset int64  // in the file: of the byte, or of where the member begins
	Want   string
	Got    string
}

// Error returns the damage as one line.
func (d *DamageError) Error() string {
	member := d.Member
	if member == "" {
		member = "the tar"
	}
	return fmt.Sprintf("%v: %s, at byte %d: want %s, got %s", ErrDamaged, member, d.Offset, d.Want, d.Got)
}

// Is makes a DamageError ErrDamaged.
func (d *DamageError) Is(err error) bool { return err == ErrDamaged }
