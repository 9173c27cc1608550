package ledger

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
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

// Servers is a URL of nothing but the servers that a connection string, which is
// valid, names: for people, and for who need not connect. Empty: there is none.
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
