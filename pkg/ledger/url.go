package ledger

import (
	"errors"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// CheckURL reports what is wrong with a connection string, a URL or
// keyword=value, and never repeats a password. It does not connect.
func CheckURL(text string) error {
	_, err := pgxpool.ParseConfig(text)
	if err == nil {
		return nil
	}
	u, notURL := url.Parse(text)
	if notURL != nil || !strings.Contains(text, "://") {
		return errors.New("DATABASE_URL: it is no connection string: want postgres://user:password@host:port/database, or keyword=value with values quoted")
	}
	// The library repeats the string, of which it hides one password only.
	_, why, _ := strings.Cut(err.Error(), "`: ")
	password, _ := u.User.Password()
	for _, secret := range []string{password, u.Query().Get("password"), u.Query().Get("sslpassword")} {
		if secret != "" && strings.Contains(why, secret) {
			why = "one of its settings is invalid"
		}
	}
	return errors.New("DATABASE_URL: " + why)
}
