package ledger

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// CheckURL reports what is wrong with a connection string, which is a URL or
// keyword=value. It never repeats a password, and does not connect.
func CheckURL(text string) error {
	_, err := pgxpool.ParseConfig(text)
	if err == nil {
		return nil
	}
	u, notURL := url.Parse(text)
	if notURL != nil || !strings.Contains(text, "://") {
		return errors.New("DATABASE_URL: it is no connection string: want postgres://user:password@host:port/database, or keyword=value with values quoted")
	}
	// The library's error repeats the string, and hides only one of its passwords.
	_, why, _ := strings.Cut(err.Error(), "`: ")
	password, _ := u.User.Password()
	for _, secret := range []string{password, u.Query().Get("password"), u.Query().Get("sslpassword")} {
		if secret != "" && strings.Contains(why, secret) {
			why = "one of its settings is invalid"
		}
	}
	return errors.New("DATABASE_URL: " + why)
}

// Servers returns a URL with nothing but the servers of a valid connection string,
// for people to read. Empty: it names none.
func Servers(text string) string {
	pc, err := pgxpool.ParseConfig(text)
	if err != nil || text == "" {
		return ""
	}
	cc := pc.ConnConfig
	var servers []string
	for _, f := range append([]*pgconn.FallbackConfig{{Host: cc.Host, Port: cc.Port}}, cc.Fallbacks...) {
		_, address := pgconn.NetworkAddress(f.Host, f.Port)
		if !slices.Contains(servers, address) { // with and without TLS
			servers = append(servers, address)
		}
	}
	return "postgres://" + strings.Join(servers, ",")
}
