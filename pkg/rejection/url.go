package rejection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Schemes are those that a URL of Redis may have.
func Schemes() []string {
	return []string{"redis", "rediss", "unix", "redis" + bySentinel, "rediss" + bySentinel}
}

// bySentinel ends the scheme of a Redis that is found by its sentinels.
const bySentinel = "+sentinel"

const sentinelPort = "26379"

// Config says where Redis is and how it is reached.
type Config struct {
	// URL is redis://user:password@host:6379/0, rediss:// for TLS, unix://, or
	// redis+sentinel:// (rediss+sentinel://) with the addresses of sentinels and
	// the name by which they know the master:
	// redis+sentinel://user:password@one:26379,two:26379/main/0. The login is
	// Redis's; that of the sentinels is in the parameters sentinel_username and
	// sentinel_password. A parameter read_timeout replaces Timeout.
	URL string
	// Name is the connections' name in Redis, if Redis allows clients to set one.
	Name string
	// CA is a file of the certificates that sign the servers', instead of the
	// system's; Cert and Key are files of the client's own. All are PEM, read once,
	// and for TLS only.
	CA, Cert, Key string
}

// Validate reports what is wrong with the configuration, and tells no secret.
func (c Config) Validate() error {
	_, err := c.server()
	return err
}

// server is a Redis, or the sentinels that know it.
type server struct {
	*redis.Options

	sentinels          []string // host:port; none: the address is Redis's own
	master             string
	sentinel, password string // the login at the sentinels
}

// authority splits a URL into what is before its hosts, the hosts, and the rest.
var authority = regexp.MustCompile(`^([^/?#]*//(?:[^/?#]*@)?)([^/?#@]*)(.*)$`)

func (c Config) server() (*server, error) {
	s, err := parse(c.URL)
	if err == nil {
		err = c.secure(s)
	}
	if no := (*url.Error)(nil); errors.As(err, &no) { // it repeats the URL
		err = errors.New("it is no URL")
	}
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	timeout := Timeout
	if s.ReadTimeout > 0 {
		timeout = s.ReadTimeout
	}
	s.MaxRetries = -1
	s.DialTimeout = 4 * timeout
	s.ReadTimeout, s.WriteTimeout, s.PoolTimeout = timeout, timeout, timeout
	s.ContextTimeoutEnabled = true
	s.PipelinePoolSize = -1 // questions use the connections that were made in the background
	s.DisableIdentity, s.MaintNotificationsConfig = true, &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	s.OnConnect = func(ctx context.Context, conn *redis.Conn) error {
		err := conn.ClientSetName(ctx, c.Name).Err()
		if refused := redis.Error(nil); err != nil && !errors.As(err, &refused) {
			return err
		}
		return nil // CLIENT may be renamed, or not allowed
	}
	return s, nil
}

func parse(text string) (*server, error) {
	parts := authority.FindStringSubmatch(text)
	if parts == nil {
		return nil, errors.New("it is no URL")
	}
	hosts := strings.Split(parts[2], ",")
	u, err := url.Parse(parts[1] + hosts[0] + parts[3])
	if err != nil {
		return nil, err
	}
	scheme, watched := strings.CutSuffix(u.Scheme, bySentinel)
	if !watched {
		if len(hosts) > 1 {
			return nil, errors.New("it names several servers: that is for redis+sentinel://")
		}
		o, err := redis.ParseURL(text)
		return &server{Options: o}, err
	}
	s := &server{}
	for _, host := range hosts {
		at, err := url.Parse("//" + host)
		if err != nil || at.Hostname() == "" {
			return nil, errors.New("want sentinels as host:port, joined by commas")
		}
		port := at.Port()
		if port == "" {
			port = sentinelPort
		}
		s.sentinels = append(s.sentinels, net.JoinHostPort(at.Hostname(), port))
	}
	master, database, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if s.master = master; master == "" {
		return nil, errors.New("it does not name the sentinels' master: want redis+sentinel://host:port/MASTER/0")
	}
	query := u.Query()
	s.sentinel, s.password = query.Get("sentinel_username"), query.Get("sentinel_password")
	query.Del("sentinel_username")
	query.Del("sentinel_password")
	u.Scheme, u.Path, u.RawPath, u.RawQuery = scheme, "/"+database, "", query.Encode()
	if s.Options, err = redis.ParseURL(u.String()); err == nil && s.TLSConfig != nil {
		s.TLSConfig.ServerName = "" // each server's own
	}
	return s, err
}

// secure reads the files for TLS.
func (c Config) secure(s *server) error {
	if c.CA+c.Cert+c.Key == "" {
		return nil
	}
	if s.TLSConfig == nil {
		return errors.New("--redis-ca, --redis-cert and --redis-key are for rediss:// only")
	}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return fmt.Errorf("--redis-ca: %w", err)
		}
		s.TLSConfig.RootCAs = x509.NewCertPool()
		if !s.TLSConfig.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("--redis-ca %s: there is no certificate in it", c.CA)
		}
	}
	if c.Cert+c.Key != "" {
		own, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return fmt.Errorf("--redis-cert and --redis-key: %w", err)
		}
		s.TLSConfig.Certificates = []tls.Certificate{own}
	}
	return nil
}

func (s *server) client() *redis.Client {
	if s.sentinels == nil {
		return redis.NewClient(s.Options)
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: s.master, SentinelAddrs: s.sentinels, SentinelUsername: s.sentinel, SentinelPassword: s.password,
		Username: s.Username, Password: s.Password, DB: s.DB, TLSConfig: s.TLSConfig, OnConnect: s.OnConnect,
		MaxRetries: s.MaxRetries, DialTimeout: s.DialTimeout, ReadTimeout: s.ReadTimeout, WriteTimeout: s.WriteTimeout,
		PoolTimeout: s.PoolTimeout, ContextTimeoutEnabled: s.ContextTimeoutEnabled, PipelinePoolSize: s.PipelinePoolSize,
		DisableIdentity: s.DisableIdentity, PoolSize: s.PoolSize,
	})
}
