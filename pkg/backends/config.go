package backends

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Config says what to start and where. A URL that is set replaces that part:
// nothing is started for it.
type Config struct {
	// Data is the folder of all stores, and of what the program keeps beside
	// them; required unless all three URLs are set. It is locked, and created
	// with mode 0700, or 0711 for root, whose children run as another user and
	// must pass through it. A folder that exists keeps its mode.
	Data string

	DatabaseURL string // external Postgres (postgres:// or postgresql://)
	RedisURL    string // external Redis (redis://, rediss:// or unix://, or redis+sentinel://)
	NATSURL     string // external NATS servers, comma-separated (nats://, tls://, ws:// or wss://)

	// StreamStore is JetStream's largest file store in bytes; 0 takes three
	// quarters of the disk that is free or the store's own, but not less than at
	// an earlier start.
	StreamStore int64

	// PGBin is the folder of initdb and postgres (version 14 or later). If
	// empty: PATH, then the distributions' folders, then a download.
	PGBin string

	// InProcessRedis takes the in-process stand-in even where redis-server is
	// installed.
	InProcessRedis bool

	// NATSAddr, PostgresAddr and RedisAddr are listen addresses, host:port.
	// Empty means 127.0.0.1:0; port 0 is a free port, chosen at each start.
	NATSAddr, PostgresAddr, RedisAddr string

	// Ephemeral trades durability for speed, for tests only: Postgres without
	// fsync but with 400 connections, NATS without SyncAlways. What was
	// acknowledged survives a killed process, but not a power loss.
	Ephemeral bool
}

const anyPort = "127.0.0.1:0"

// DefaultConfig gives the configuration of `notsale up`: all three parts on
// free loopback ports, data in the user's state folder ($XDG_STATE_HOME/notsale
// or ~/.local/state/notsale, on macOS ~/Library/Application Support/notsale,
// for root /var/lib/notsale), PGBin from $PG_BIN.
func DefaultConfig() Config {
	return Config{
		Data:         defaultData(),
		PGBin:        os.Getenv("PG_BIN"),
		NATSAddr:     anyPort,
		PostgresAddr: anyPort,
		RedisAddr:    anyPort,
	}
}

func defaultData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/notsale"
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "notsale")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "" // Validate asks for a folder
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "notsale")
	}
	return filepath.Join(home, ".local", "state", "notsale")
}

// Validate reports every field that Start could not use, joined into one error.
func (c Config) Validate() error {
	errs := []error{
		checkURL("database URL", c.DatabaseURL, "postgres", "postgresql"),
		checkURL("Redis URL", c.RedisURL, "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"),
	}
	for one := range strings.SplitSeq(c.NATSURL, ",") {
		errs = append(errs, checkURL("NATS URL", strings.TrimSpace(one), "nats", "tls", "ws", "wss"))
	}
	errs = append(errs,
		checkAddr("NATS", c.NATSAddr),
		checkAddr("Postgres", c.PostgresAddr),
		checkAddr("Redis", c.RedisAddr),
	)
	if c.Data == "" && !c.external() {
		errs = append(errs, errors.New("no data folder: give one (--data), or the URLs of all three stores"))
	}
	if c.StreamStore < 0 {
		errs = append(errs, fmt.Errorf("stream store of %d bytes: must be 0 (sized from the disk) or more", c.StreamStore))
	}
	return errors.Join(errs...)
}

// external tells whether all three stores are somebody else's.
func (c Config) external() bool { return c.DatabaseURL != "" && c.RedisURL != "" && c.NATSURL != "" }

// checkURL accepts an empty URL. The URL itself stays out of the error: it may
// hold a password.
func checkURL(what, text string, schemes ...string) error {
	if text == "" {
		return nil
	}
	scheme, _, found := strings.Cut(text, "://")
	if !found || !slices.Contains(schemes, scheme) {
		return fmt.Errorf("%s: must start with %s://", what, strings.Join(schemes, ":// or "))
	}
	return nil
}

func checkAddr(what, addr string) error {
	if addr == "" {
		return nil
	}
	_, _, err := splitAddr(addr)
	if err != nil {
		return fmt.Errorf("%s listen address: %w", what, err)
	}
	return nil
}

// splitAddr takes "host:port" apart; empty means any loopback port.
func splitAddr(addr string) (host string, port int, err error) {
	if addr == "" {
		addr = anyPort
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("want host:port: %w", err)
	}
	if host == "" {
		return "", 0, fmt.Errorf("%q names no host: say 127.0.0.1%s", addr, addr)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: port must be a number from 0 to 65535", addr)
	}
	return host, int(n), nil
}

// choosePort gives the configured port, or one that is free at this moment.
// Somebody may take it before it is used: callers retry.
func choosePort(addr string) (host string, port int, err error) {
	host, port, err = splitAddr(addr)
	if err != nil || port != 0 {
		return host, port, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", 0, fmt.Errorf("find a free port on %s: %w", host, err)
	}
	defer func() { _ = l.Close() }()
	return host, l.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // a TCP listener's
}
