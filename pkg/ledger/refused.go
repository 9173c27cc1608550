package ledger

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// Refused reports whether the database refuses the statement itself, for its data,
// a constraint, a name or a privilege, so that it is refused again until somebody
// changes the database.
func Refused(err error) bool { return isClass(err, "22", "23", "42") }

// Contradicts reports whether what was to be written does not fit what the database
// holds, or can hold.
func Contradicts(err error) bool { return isClass(err, "22", "23") }

// isClass reports whether the database refused with an SQLSTATE of such a class.
func isClass(err error, classes ...string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && len(refused.Code) == 5 && slices.Contains(classes, refused.Code[:2])
}
