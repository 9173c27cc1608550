package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/fx"

	"notsale/pkg/backends"
	"notsale/pkg/boot"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/telemetry"
	"notsale/services/edge"
)

// stopStores bounds the stop of the stores, after the services have stopped.
const stopStores = 20 * time.Second

// demoEvery is the slot of `up --demo`.
const demoEvery = time.Minute

func newUp() *cobra.Command {
	s := newSettings()
	s.data = backends.DefaultConfig().Data
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything in one process tree, stores included",
		Long:  "Run everything in one process tree: Postgres, Redis and NATS, and all services.\nDATABASE_URL, REDIS_URL and NATS_URL (or the same with _FILE) replace any of the stores.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.demo && !cmd.Flags().Changed("sale-every") {
				s.scheduler.Every = demoEvery
			}
			return up(cmd.Context(), s, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	s.commonFlags(f)
	s.ledgerFlags(f)
	s.opsFlags(f)
	s.dataFlags(f)
	s.redisFlags(f)
	s.edgeFlags(f)
	s.schedulerFlags(f)
	s.archiverFlags(f)
	f.BoolVar(&s.demo, "demo", false, "a sale a minute, and 200 simulated shoppers over HTTP")
	return cmd
}

func up(ctx context.Context, s *settings, out io.Writer) error {
	started := time.Now()
	log, finish, err := s.enduring()
	if err != nil {
		return err
	}
	defer finish()
	// While the stores start, a signal ends the start; then boot.Run listens.
	starting, restore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer restore()
	stores, err := startStores(starting, s, log)
	if err != nil {
		return err
	}
	defer stopStoresOf(stores, log)
	forget, err := s.leaveURLs()
	if err != nil {
		return err
	}
	defer forget()
	if s.codeKeys == "" {
		s.codeKeys = filepath.Join(s.data, "code-keys.json")
	}
	if s.keys, err = ensureKeys(s.codeKeys, s.keysDelay); err != nil {
		return err
	}
	if _, err := ledger.Migrate(starting, s.databaseURL); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-stores.Done():
			log.Error("nothing can be sold any more, stopping", "error", err)
			cancel(err)
		case <-ctx.Done():
		}
	}()
	options := []fx.Option{shell(s)}
	for _, name := range s.upRoles() {
		for _, r := range roles() {
			if r.name == name {
				options = append(options, role(r.name, s, r.service(s)))
			}
		}
	}
	var front *edge.Edge
	var ops *telemetry.Operations
	options = append(options, s.stopTime(), fx.Populate(&front, &ops))
	restore()
	err = boot.Run(ctx, log, func(ctx context.Context) {
		announce(ctx, out, s, stores, front, ops, time.Since(started))
		if s.demo {
			runDemo(ctx, "http://"+reachable(front.Address()), log)
		}
	}, options...)
	if cause := context.Cause(ctx); cause != context.Canceled { //nolint:errorlint // the very value
		err = errors.Join(cause, err)
	}
	return err
}

// upRoles are the roles of `up` in the order of their start: the edge stops first.
func (s *settings) upRoles() []string {
	names := []string{"scheduler", "recorder", "allocator", "edge"}
	if s.archiver.To != "" {
		names = slices.Insert(names, 1, "archiver")
	}
	return names
}

// ensureKeys is edge.OpenKeys, after making the file if it does not exist.
func ensureKeys(path string, delay time.Duration) (*edge.KeyFile, error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return edge.OpenKeys(path, delay)
	}
	secret := make([]byte, code.MinSecret)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("drawing a key: %w", err)
	}
	text, err := code.FormatKeys([]code.Key{{ID: 1, Secret: secret}})
	if err != nil {
		return nil, fmt.Errorf("code keys: %w", err)
	}
	// Written beside and renamed, so that a crash leaves no half a file.
	if err := writeDurably(path, append(text, '\n')); err != nil {
		return nil, fmt.Errorf("code keys: %w", err)
	}
	return edge.OpenKeys(path, delay)
}

// startStores starts what no URL replaces, and sets all three URLs.
func startStores(ctx context.Context, s *settings, log *slog.Logger) (*backends.Backends, error) {
	if err := s.readURLs(); err != nil {
		return nil, err
	}
	if s.databaseURL == "" {
		ownDatabase()
	}
	if s.natsURL == "" {
		s.ownNATS()
	}
	if s.redisURL == "" { // our own speaks no TLS
		s.redis = rejection.Config{}
	}
	cfg := backends.DefaultConfig()
	cfg.Data, cfg.DatabaseURL, cfg.RedisURL, cfg.NATSURL = s.data, s.databaseURL, s.redisURL, s.natsURL
	cfg.DatabaseURL = ledger.Servers(s.databaseURL) // which may not be a URL
	stores, err := backends.Start(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if s.stream.StoreBytes == 0 {
		s.stream.StoreBytes = stores.StreamStore()
	}
	s.natsVerified = s.natsURL == "" // our own
	s.databaseURL, s.redisURL, s.natsURL = cmp.Or(s.databaseURL, stores.DatabaseURL()), stores.RedisURL(), stores.NATSURL()
	return stores, nil
}

func stopStoresOf(stores *backends.Backends, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), stopStores)
	defer cancel()
	if err := stores.Stop(ctx); err != nil {
		log.Error("stopping the stores", "error", err)
	}
}

// readyTimeout bounds waiting for the first sale before the address is printed.
const readyTimeout = 10 * time.Second

// announce waits until the shop is ready and says what was started and where.
func announce(ctx context.Context, out io.Writer, s *settings, stores *backends.Backends, front *edge.Edge, ops *telemetry.Operations, took time.Duration) {
	waiting := time.Now()
	for front.Ready(ctx) != nil && ctx.Err() == nil && time.Since(waiting) < readyTimeout {
		time.Sleep(5 * time.Millisecond)
	}
	if ctx.Err() != nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "notsale is open at http://%s (ready after %v)\n", reachable(front.Address()), (took + time.Since(waiting)).Round(time.Millisecond))
	fmt.Fprintf(&b, "  sale        %d items every %v, at most %d per user\n", s.scheduler.Stock, s.scheduler.Every, s.scheduler.UserLimit)
	for _, p := range stores.Parts() {
		fmt.Fprintf(&b, "  %-11s %s %s", p.Name, p.Version, p.Address)
		if p.Note != "" {
			fmt.Fprintf(&b, " (%s)", p.Note)
		}
		b.WriteString("\n")
	}
	roles := s.upRoles()
	slices.Reverse(roles)
	fmt.Fprintf(&b, "  services    %s in this process\n", strings.Join(roles, ", "))
	fmt.Fprintf(&b, "  operations  http://%s/metrics\n", ops.Address())
	fmt.Fprintf(&b, "  data        %s\n", s.data)
	b.WriteString("Ctrl-C stops everything; started again it goes on with the same sale.\n")
	_, _ = io.WriteString(out, b.String())
}

// reachable turns a listener's address into one that a browser can open.
func reachable(address string) string {
	for _, everywhere := range []string{"[::]:", "0.0.0.0:"} {
		if port, ok := strings.CutPrefix(address, everywhere); ok {
			return "localhost:" + port
		}
	}
	return address
}
