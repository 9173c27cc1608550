package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"notsale/pkg/backends"
	"notsale/pkg/boot"
	"notsale/pkg/ledger"
)

func newBackends() *cobra.Command {
	s := newSettings()
	s.data = backends.DefaultConfig().Data
	cmd := &cobra.Command{
		Use:   "backends",
		Short: "Start only the three stores and print their URLs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, finish, err := s.enduring()
			if err != nil {
				return err
			}
			defer finish()
			stops := []os.Signal{os.Interrupt, syscall.SIGTERM}
			if !nohup { // there is nothing to read again
				stops = append(stops, syscall.SIGHUP)
			}
			ctx, restore := signal.NotifyContext(cmd.Context(), stops...)
			defer restore()
			stores, err := startStores(ctx, s, log)
			if err != nil {
				return err
			}
			defer stopStoresOf(stores, log)
			forget, err := s.leaveURLs()
			if err != nil {
				return err
			}
			defer forget()
			fmt.Fprint(cmd.OutOrStdout(), s.exports())
			select {
			case err := <-stores.Done():
				return err
			case <-ctx.Done():
				return nil
			}
		},
	}
	s.commonFlags(cmd.Flags())
	s.dataFlags(cmd.Flags())
	return cmd
}

// nohup tells whether whoever started the program wants it to outlive its
// terminal.
var nohup = signal.Ignored(syscall.SIGHUP)

// exports are the URLs, and what belongs to them, as lines for a shell.
func (s *settings) exports() string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "export %s=%s\n", name, quote(value)) }
	line("DATABASE_URL", s.databaseURL)
	line("REDIS_URL", s.redisURL)
	line("NATS_URL", s.natsURL)
	of := s.natsSettings()
	for _, name := range slices.Sorted(maps.Keys(of)) {
		value := *of[name]
		if value == "" {
			continue
		}
		if path, err := filepath.Abs(value); err == nil && name != natsDomain { // to be found from any folder
			value = path
		}
		line(boot.EnvName(name), value)
	}
	return b.String()
}

// endQuote is a ' within a shell's quotes: they end, one of its own follows, and
// they begin again.
const endQuote = `'\''`

// quote writes a word so that a shell reads it as it is; unquote reads that.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", endQuote) + "'" }

func unquote(quoted string) string {
	inner := strings.TrimSuffix(strings.TrimPrefix(quoted, "'"), "'")
	return strings.ReplaceAll(inner, endQuote, "'")
}

// storesFile holds exports while the stores run, for the commands that find
// them by their data folder.
const storesFile = "stores.env"

// leaveURLs writes the file; forget removes it, but not another's in a folder
// that has replaced ours.
func (s *settings) leaveURLs() (forget func(), err error) {
	path, ours := filepath.Join(s.data, storesFile), s.exports()
	if err := writeDurably(path, []byte(ours)); err != nil {
		return nil, fmt.Errorf("writing the URLs of the stores: %w", err)
	}
	return func() {
		if text, err := os.ReadFile(path); err == nil && string(text) == ours {
			_ = os.Remove(path)
		}
	}, nil
}

// findURLs sets the URLs from the file of the stores that run on the data
// folder.
func (s *settings) findURLs() error {
	path := filepath.Join(s.data, storesFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("DATABASE_URL and NATS_URL must be set (or each with _FILE), or `notsale up` must run with --data as given here: there is no %s", path)
	}
	if err != nil {
		return err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		found[name] = unquote(strings.TrimSpace(value))
	}
	ownDatabase()
	s.databaseURL, s.redisURL, s.natsURL = found["DATABASE_URL"], found["REDIS_URL"], found["NATS_URL"]
	for name, value := range s.natsSettings() {
		*value = found[boot.EnvName(name)]
	}
	return nil
}

func newMigrate() *cobra.Command {
	s := newSettings()
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of DATABASE_URL up to date",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.readURLs(); err != nil {
				return err
			}
			if s.databaseURL == "" {
				return fmt.Errorf("DATABASE_URL is not set: set it or DATABASE_URL_FILE")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), migrateTimeout)
			defer cancel()
			steps, err := ledger.Migrate(ctx, s.databaseURL)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%d migrations applied\n", steps)
			}
			return err
		},
	}
}

// writeDurably writes a file whole or not at all: beside its place, then renamed.
func writeDurably(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
