//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"notsale/loadtest/hammer/shopper"
)

// serveBareCommand is how compare starts itself as the bare server.
const serveBareCommand = "serve-bare"

type options struct {
	rounds  int
	clients int
	stock   int
	rest    time.Duration
	notsale string // the program; empty: built from this module
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == serveBareCommand {
		return serveBare(ctx, args[1:])
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return o.compare(ctx, stdout, stderr)
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.rounds, "rounds", 5, "measurements of each")
	fs.IntVar(&o.clients, "clients", 256, "concurrent shoppers, one connection each")
	fs.IntVar(&o.stock, "stock", 10_000, "items of the sale")
	fs.DurationVar(&o.rest, "rest", 3*time.Second, "pause before each measurement, for the machine to finish what the one before left it to do")
	fs.StringVar(&o.notsale, "notsale", "", "the notsale program; built from this module if not given")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if o.rounds < 1 || o.clients < 1 || o.stock < 1 || o.rest < 0 || fs.NArg() > 0 {
		return nil, fmt.Errorf("rounds, clients and stock are positive, and there are no other arguments: %q", args)
	}
	return o, nil
}

func (o *options) shopper(url string) shopper.Config {
	cfg := shopper.DefaultConfig()
	cfg.Target, cfg.Clients = url, o.clients
	return cfg
}

func (o *options) compare(ctx context.Context, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "notsale-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// As root, notsale runs Postgres as another user, who must get to its data.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // what is private below guards itself
		return err
	}
	if err := o.build(ctx, dir, stderr); err != nil {
		return err
	}
	// The client's own first run is slower than its later ones; it does not count.
	if _, err := o.measureBare(ctx); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	var bare, sale []figures
	for n := range o.rounds {
		b, s, err := o.round(ctx, filepath.Join(dir, strconv.Itoa(n+1)))
		if err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
		fmt.Fprintf(stderr, "round %d of %d: bare %.0f, notsale %.0f requests/s\n", n+1, o.rounds, b.requestsPerSecond, s.requestsPerSecond)
		bare, sale = append(bare, b), append(sale, s)
	}
	return o.print(stdout, bare, sale, time.Now())
}

func (o *options) build(ctx context.Context, dir string, stderr io.Writer) error {
	if o.notsale != "" {
		return nil
	}
	o.notsale = filepath.Join(dir, "notsale")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", o.notsale, "notsale/services/notsale") //nolint:gosec // our own folder
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build notsale/services/notsale: %w", err)
	}
	return nil
}

func (o *options) round(ctx context.Context, dir string) (bare, sale figures, err error) {
	if err = os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // see compare
		return bare, sale, err
	}
	if bare, err = o.measureBare(ctx); err != nil {
		return bare, sale, err
	}
	if sale, err = o.measureSale(ctx, dir); err != nil {
		return bare, sale, err
	}
	return bare, sale, os.RemoveAll(dir) // a data folder holds the stores' reserved space
}
