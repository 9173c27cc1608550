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
// nothing is started for it. What is started listens on free ports of loopback.
type Config struct {
	// Data is the folder of all stores, and of what the program keeps beside
	// them; required unless all three URLs are set. It is locked, and created
	// with mode 0700, or 0711 for root, whose children run as another user and
	// must pass through it. A folder that exists keeps its mode.
	Data string

	DatabaseURL string // external Postgres (postgres:// or postgresql://)
	RedisURL    string // external Redis (redis://, rediss:// or unix://, or redis+sentinel://)
	NATSURL     string // external NATS servers, comma-separated (nats://, tls://, ws:// or wss://)

	// StreamStore is the largest size of JetStream's file store in bytes; 0: three
	// quarters of the disk space that is free or already the store's, but not less
	// than at an earlier start.
	StreamStore int64

	// PGBin is the folder of initdb and postgres (version 14 or later). If
	// empty: PATH, then the distributions' folders, then a download.
	PGBin string

	// InProcessRedis uses the in-process stand-in even if redis-server is installed.
	InProcessRedis bool

	// Ephemeral trades durability for speed, for tests only: Postgres without
	// fsync but with 400 connections, NATS without SyncAlways. What was
	// acknowledged survives a killed process, but not a power loss.
	Ephemeral bool
}

// DefaultConfig returns the configuration of `notsale up`: all three parts,
// data in the user's state folder ($XDG_STATE_HOME/notsale or
// ~/.local/state/notsale, on macOS ~/Library/Application Support/notsale,
// for root /var/lib/notsale), PGBin from $PG_BIN.
func DefaultConfig() Config { return Config{Data: defaultData(), PGBin: os.Getenv("PG_BIN")} }

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
	if c.Data == "" && !c.external() {
		errs = append(errs, errors.New("no data folder: give one (--data), or the URLs of all three stores"))
	}
	if c.StreamStore < 0 {
		errs = append(errs, fmt.Errorf("stream store of %d bytes: must be 0 (sized from the disk) or more", c.StreamStore))
	}
	return errors.Join(errs...)
}

// external reports whether all three stores are external: none is started.
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

const loopback = "127.0.0.1"

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// freePort finds a port that is free at this moment. Another program may take it
// before it is used: callers retry.
func freePort() (int, error) {
	l, err := net.Listen("tcp", address(0))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // a TCP listener's
}
