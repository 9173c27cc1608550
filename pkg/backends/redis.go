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
	"sync"
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
// process. It keeps nothing on disk. Its methods may be called from any
// goroutine; they wait for each other.
type Redis struct {
	account *account
	program string // empty: in-process
	base    string // Data/redis, where the names of its files begin
	logFile string

	host     string
	port     int
	password string

	mu      sync.Mutex // guards what follows
	lock    *lock
	child   *child
	stand   *miniredis.Miniredis
	version string
}

// StartRedis starts Redis and returns once it answers. Of cfg it uses Data (for
// its configuration, password and log), RedisAddr and InProcessRedis. It holds
// at most 256 MB and then drops what was used least recently. Without a
// redis-server that runs it takes miniredis, which knows no such limit; see
// InProcess.
func StartRedis(ctx context.Context, cfg Config, log *slog.Logger) (*Redis, error) {
	r := &Redis{}
	if err := r.prepare(ctx, cfg, log); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	_, fixed, _ := splitAddr(cfg.RedisAddr)
	for try := 1; ; try++ {
		var err error
		if r.host, r.port, err = choosePort(cfg.RedisAddr); err == nil {
			err = r.run(ctx)
		}
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, errPortTaken) || fixed != 0 || try == portTries {
			r.lock.release()
			return nil, fmt.Errorf("redis: %w", err)
		}
	}
}

func (r *Redis) prepare(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	if r.account, err = childAccount(cfg.Data); err != nil {
		return err
	}
	data, err := prepareData(cfg.Data, r.account)
	if err == nil {
		err = r.account.checkReach(data)
	}
	if err != nil {
		return err
	}
	r.base, r.logFile = filepath.Join(data, "redis"), filepath.Join(data, "redis.log")
	if r.lock, err = takeLock(r.base + ".lock"); err != nil {
		return err
	}
	if !cfg.InProcessRedis {
		r.program = findRedis(ctx, r.account, log)
	}
	if r.password, err = secret(r.base+".password", nil); err != nil {
		r.lock.release()
	}
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

// findRedis gives the redis-server that the account can run, or nothing.
func findRedis(ctx context.Context, a *account, log *slog.Logger) string {
	program := FindRedis()
	if program == "" {
		return ""
	}
	if _, err := runShort(ctx, a, program, "--version"); err != nil {
		log.Warn("redis-server does not run: taking the in-process stand-in", "part", "redis", "error", err)
		return ""
	}
	return program
}

func (r *Redis) run(ctx context.Context) error {
	if r.program == "" {
		return r.runInProcess()
	}
	c, err := startChild(childSpec{
		name:    "redis",
		program: r.program,
		args:    []string{"-"},
		stdin:   r.configuration(),
		account: r.account,
		log:     r.logFile,
		onDeath: syscall.SIGKILL, // it has nothing to save
	})
	if err != nil {
		return err
	}
	if err := r.ready(ctx, c); err != nil {
		return errors.Join(err, c.stop(ctx, syscall.SIGTERM))
	}
	r.child = c
	return nil
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

func (r *Redis) ready(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, redisReadyWait)
	defer cancel()
	for {
		version, err := r.askChild(ctx, c)
		if err == nil {
			r.version = version
			return nil
		}
		if !c.running() {
			if strings.Contains(c.tail(), "Address already in use") {
				return fmt.Errorf("listen on %s: %w", r.Address(), errPortTaken)
			}
			return c.died()
		}
		if waited := briefly(ctx); waited != nil {
			return fmt.Errorf("no answer on %s: %w (last: %w); see its log, %s", r.Address(), waited, err, r.logFile)
		}
	}
}

// askChild asks only once the log says that the child has the port: a stranger's
// server must not see the password.
func (r *Redis) askChild(ctx context.Context, c *child) (string, error) {
	if !strings.Contains(c.tail(), "eady to accept connections") {
		return "", errNotReady
	}
	ctx, cancel := c.attempt(ctx)
	defer cancel()
	return r.askVersion(ctx)
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
	r.stand, r.version = stand, "miniredis"
	return nil
}

// InProcess tells whether this is the stand-in.
func (r *Redis) InProcess() bool { return r.program == "" }

// URL is the connection string of database 0, password included.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", r.password), Host: r.Address(), Path: "/0"}
	return u.String()
}

// Address is host:port.
func (r *Redis) Address() string { return net.JoinHostPort(r.host, strconv.Itoa(r.port)) }

// Version is the server's, such as "7.0.15", or "miniredis".
func (r *Redis) Version() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.version
}

// Stop ends the server with SIGTERM, at ctx's deadline (or after 20 s) with
// SIGKILL, which is an error. Everything it held is gone. Stopping again does
// nothing.
func (r *Redis) Stop(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.lock.release()
	switch {
	case r.stand != nil:
		r.stand.Close()
		r.stand = nil
	case r.child != nil:
		return r.child.stop(ctx, syscall.SIGTERM)
	}
	return nil
}

// Kill ends the server with SIGKILL, for fault tests; in-process, it closes it.
func (r *Redis) Kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.child != nil {
		return r.child.kill()
	}
	if r.stand != nil {
		r.stand.Close()
		r.stand = nil
	}
	return nil
}

// Pause stops the process (SIGSTOP), for fault tests. The stand-in cannot:
// errors.ErrUnsupported.
func (r *Redis) Pause() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.child == nil {
		return fmt.Errorf("pause redis in-process: %w", errors.ErrUnsupported)
	}
	return r.child.pause()
}

// Resume undoes Pause.
func (r *Redis) Resume() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.child == nil {
		return fmt.Errorf("resume redis in-process: %w", errors.ErrUnsupported)
	}
	return r.child.resume()
}

// Restart starts the server again, empty, on the same port and with the same
// password, after stopping it if it still runs.
func (r *Redis) Restart(ctx context.Context) error {
	if err := r.Stop(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.lock, err = takeLock(r.base + ".lock"); err == nil {
		err = r.run(ctx)
	}
	if err != nil {
		r.lock.release()
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// ended gives a channel that closes when the current process ends, and a
// function that then says how. Not for the stand-in, which cannot die alone.
func (r *Redis) ended() (<-chan struct{}, func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.child.done, r.child.died
}
