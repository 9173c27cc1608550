package ledger

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// refusals are the classes of SQLSTATE of a statement that is refused for what it
// says: its data, a constraint, a name, a privilege.
var refusals = []string{"22", "23", "42"}

// Refused reports whether the database refuses the statement itself, so that it
// is refused again until somebody changes the database.
func Refused(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && len(refused.Code) == 5 && slices.Contains(refusals, refused.Code[:2])
}
