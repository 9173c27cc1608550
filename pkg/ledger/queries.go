package ledger

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

//go:embed queries/*.sql
var files embed.FS

// queries are the statements of queries/, by the names of their files.
//
//nolint:gochecknoglobals // never written
var queries = readQueries()

// query is a statement. In its file, parameters have names, @name; what is sent,
// and prepared once, has numbers.
type query struct {
	sql   string
	names []string // of the parameters, from $1 on
}

func readQueries() map[string]query {
	names, err := fs.Glob(files, "queries/*.sql")
	qs := make(map[string]query, len(names))
	for _, name := range names {
		text, failed := files.ReadFile(name)
		err = errors.Join(err, failed)
		qs[strings.TrimSuffix(path.Base(name), ".sql")] = numbered(string(text))
	}
	if err != nil {
		panic(err) // they are embedded
	}
	return qs
}

var parameter = regexp.MustCompile(`@[a-z_]+`)

// numbered gives the parameters of a statement numbers.
func numbered(text string) (q query) {
	q.sql = parameter.ReplaceAllStringFunc(text, func(name string) string {
		at := slices.Index(q.names, name[1:])
		if at < 0 {
			at = len(q.names)
			q.names = append(q.names, name[1:])
		}
		return "$" + strconv.Itoa(at+1)
	})
	return q
}

// params are the parameters of a query by name: all of them, and no others.
// Passed to pgx with a query's name, they become the query and its arguments.
type params map[string]any

// RewriteQuery implements pgx.QueryRewriter.
func (p params) RewriteQuery(_ context.Context, _ *pgx.Conn, name string, _ []any) (string, []any, error) {
	q, known := queries[name]
	if !known || len(p) != len(q.names) {
		return "", nil, fmt.Errorf("query %q has %d parameters, not %d", name, len(q.names), len(p))
	}
	args := make([]any, len(q.names))
	for i, name := range q.names {
		var given bool
		if args[i], given = p[name]; !given {
			return "", nil, fmt.Errorf("a query's parameter @%s has no value", name)
		}
	}
	return q.sql, args, nil
}

// into says where the columns of a row are scanned to, by name: all of them, and no
// others.
type into map[string]any

func (to into) scan(row pgx.CollectableRow) error {
	columns := row.FieldDescriptions()
	if len(columns) != len(to) {
		return fmt.Errorf("%d columns, want %d", len(columns), len(to))
	}
	dest := make([]any, len(columns))
	for i := range columns {
		var wanted bool
		if dest[i], wanted = to[columns[i].Name]; !wanted {
			return fmt.Errorf("column %s is not read", columns[i].Name)
		}
	}
	return row.Scan(dest...)
}

// instant scans a time; 0: null.
type instant sale.Instant

func (i *instant) ScanTimestamptz(v pgtype.Timestamptz) error {
	*i = 0
	if v.Valid {
		*i = instant(sale.InstantOf(v.Time))
	}
	return nil
}

// hash scans a hash.
type hash allocation.Hash

func (h *hash) ScanBytes(v []byte) error {
	*h = hash{}
	copy(h[:], v)
	return nil
}

// runner is a pool or a transaction.
type runner interface {
	// run runs a query. read may leave rows unread.
	run(ctx context.Context, name string, p params, read func(pgx.Rows) error) error
}

// all returns what read makes of the rows of a query.
func all[T any](ctx context.Context, r runner, name string, p params, read pgx.RowToFunc[T]) ([]T, error) {
	return appended(ctx, r, []T{}, name, p, read)
}

// appended is all, and appends to room.
func appended[T any](ctx context.Context, r runner, room []T, name string, p params, read pgx.RowToFunc[T]) (list []T, err error) {
	err = r.run(ctx, name, p, func(rows pgx.Rows) (err error) {
		list, err = pgx.AppendRows(room, rows, read)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// one returns what read makes of the first row, or ErrNotFound.
func one[T any](ctx context.Context, r runner, name string, p params, read pgx.RowToFunc[T]) (row T, err error) {
	found := false
	err = r.run(ctx, name, p, func(rows pgx.Rows) (err error) {
		if found = rows.Next(); found {
			row, err = read(rows)
		}
		return err
	})
	if err == nil && !found {
		err = ErrNotFound
	}
	return row, err
}

// done runs a query and reports whether it found, or changed, any row.
func done(ctx context.Context, r runner, name string, p params) (found bool, err error) {
	err = r.run(ctx, name, p, func(rows pgx.Rows) error {
		rows.Close()
		found = rows.CommandTag().RowsAffected() > 0
		return nil
	})
	return found && err == nil, err
}

// during adds to an error what was being done. ErrNotFound and ErrFenced are
// answers, and stay as they are.
func during(err *error, doing string, args ...any) {
	if *err != nil && !errors.Is(*err, ErrNotFound) && !errors.Is(*err, ErrFenced) {
		*err = fmt.Errorf("ledger: "+doing+": %w", append(args, *err)...)
	}
}

// Refused reports whether the database refused the statement itself, because of its
// data, a constraint, a name or a privilege, so that it will refuse it again until
// somebody changes the database.
func Refused(err error) bool { return isClass(err, "22", "23", "42") }

// Contradicts reports whether what was to be written contradicts what the database
// holds, or is nothing that it can hold.
func Contradicts(err error) bool { return isClass(err, "22", "23") }

// isClass reports whether the database refused with an SQLSTATE of such a class.
func isClass(err error, classes ...string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && len(refused.Code) == 5 && slices.Contains(classes, refused.Code[:2])
}
