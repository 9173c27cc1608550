//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisDatabases is the number of logical databases of a Redis started here.
const RedisDatabases = 1024

const redisReadyWait = 10 * time.Second // limit of a start; it has nothing to load

// Redis is a redis-server that runs as a child process, or a miniredis in this
// process. It keeps nothing on disk: what it held is gone with Stop and Kill.
type Redis struct {
	daemon

	path    string // of redis-server; empty: in-process
	version atomic.Value
}

// StartRedis starts Redis and returns once it answers. Of cfg it uses Data (for
// its configuration, password and log), RedisAddr and InProcessRedis. It holds
// at most 256 MB and then drops what was used least recently. Without a
// redis-server that runs it takes miniredis, which knows no such limit; see
// InProcess.
func StartRedis(ctx context.Context, cfg Config, log *slog.Logger) (*Redis, error) {
	r := &Redis{daemon: daemon{
		name: "redis", cfg: cfg, addr: cfg.RedisAddr, log: log.With("part", "redis"),
		limit: redisReadyWait, signals: []syscall.Signal{syscall.SIGTERM},
	}}
	r.program = r
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Redis) prepare(ctx context.Context) (err error) {
	if !r.cfg.InProcessRedis {
		r.path = FindRedis()
	}
	if r.path != "" {
		if _, err := runShort(ctx, r.account, r.path, "--version"); err != nil {
			r.log.Warn("redis-server does not run: taking the in-process stand-in", "error", err)
			r.path = ""
		}
	}
	r.password, err = secret(r.dir+".password", nil)
	return err
}

// FindRedis gives the path of redis-server, empty if none is installed: on
// PATH, else in the usual folders.
func FindRedis() string {
	if program, err := exec.LookPath("redis-server"); err == nil {
		if program, err = filepath.Abs(program); err == nil {
			return program
		}
	}
	for _, dir := range []string{"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"} {
		program := filepath.Join(dir, "redis-server")
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return program
		}
	}
	return ""
}

func (r *Redis) command(context.Context) (childSpec, error) {
	if r.path == "" {
		return childSpec{}, r.runInProcess()
	}
	return childSpec{
		name:    "redis",
		program: r.path,
		args:    []string{"-"},
		stdin:   r.configuration(),
		onDeath: syscall.SIGKILL, // it has nothing to save
	}, nil
}

// configuration is read from standard input: anybody may read an argument list,
// and the name of a file is a pattern, which a data folder's may not match.
func (r *Redis) configuration() string {
	return strings.Join([]string{
		"bind " + r.host,
		"port " + strconv.Itoa(r.port),
		"protected-mode yes",
		"requirepass " + r.password,
		"daemonize no",
		`logfile ""`, // standard output
		`save ""`,
		"appendonly no",
		"maxmemory 256mb",
		"maxmemory-policy allkeys-lru",
		"databases " + strconv.Itoa(RedisDatabases),
		"",
	}, "\n")
}

// ask asks only once the log says that the child has the port: a stranger's
// server must not see the password.
func (r *Redis) ask(ctx context.Context, c *child) (settled bool, err error) {
	if !strings.Contains(c.tail(), "eady to accept connections") {
		return false, errNotReady
	}
	ctx, cancel := c.attempt(ctx)
	defer cancel()
	version, err := r.askVersion(ctx)
	if err == nil {
		r.version.Store(version)
	}
	return err == nil, err
}

// askVersion fails while the server does not answer, and when ctx ends.
func (r *Redis) askVersion(ctx context.Context) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Address()) // the client would log each refusal
	if err != nil {
		return "", err
	}
	_ = conn.Close()
	options, err := redis.ParseURL(r.URL())
	if err != nil {
		return "", err
	}
	options.MaxRetries, options.DisableIdentity, options.ContextTimeoutEnabled = -1, true, true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return strings.TrimSpace(version), nil
		}
	}
	return "", errors.New("INFO names no version")
}

func (r *Redis) runInProcess() error {
	stand := miniredis.NewMiniRedis()
	stand.RequireAuth(r.password)
	if err := stand.StartAddr(r.Address()); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("listen on %s: %w", r.Address(), errPortTaken)
		}
		return err
	}
	r.stand = stand
	r.version.Store("miniredis")
	return nil
}

// InProcess tells whether this is the stand-in.
func (r *Redis) InProcess() bool { return r.path == "" }

// URL is the connection string of database 0, password included.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", r.password), Host: r.Address(), Path: "/0"}
	return u.String()
}

// Version is the server's, such as "7.0.15", or "miniredis".
func (r *Redis) Version() string { return r.version.Load().(string) } //nolint:forcetypeassert // it is stored as such
