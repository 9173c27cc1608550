package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"time"

	"notsale/loadtest/hammer/shopper"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // a check failed
	exitUsage  = 2 // the run could not be held
)

// checkTime bounds the checks after the run.
const checkTime = time.Minute

type options struct {
	shopper.Config

	maxTime     time.Duration
	json        bool
	allowRemote bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "hammer:", err)
		return exitUsage
	}
	res, verdicts, err := hammer(ctx, o)
	if err != nil {
		fmt.Fprintln(stderr, "hammer:", err)
		return exitUsage
	}
	rep := newReport(res, verdicts)
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(rep)
	} else {
		err = rep.print(stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "hammer:", err)
		return exitUsage
	}
	if !rep.OK {
		return exitFailed
	}
	return exitOK
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{Config: shopper.DefaultConfig()}
	o.RunID = strconv.FormatUint(rand.Uint64()>>32, 16) //nolint:gosec // tells runs apart, guards nothing
	fs := flag.NewFlagSet("hammer", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.Target, "target", o.Target, "http://host:port of the system")
	fs.BoolVar(&o.allowRemote, "allow-remote", false, "allow a target that is not this machine")
	fs.Int64Var(&o.Sale, "sale", o.Sale, "id of the sale; 0: the newest open one")
	fs.IntVar(&o.Clients, "clients", o.Clients, "concurrent shoppers, one connection each")
	fs.IntVar(&o.Users, "users", o.Users, "users who buy, --limit items each; 0: as few as can buy everything")
	fs.IntVar(&o.Limit, "limit", o.Limit, "items that the system sells to one user")
	fs.IntVar(&o.Contention, "contention", o.Contention, "rivals per item")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "order of the items and choice of the rivals")
	fs.DurationVar(&o.Timeout, "timeout", o.Timeout, "of one request")
	fs.DurationVar(&o.maxTime, "max-time", 2*time.Minute, "end of the run")
	fs.BoolVar(&o.json, "json", false, "print the report as JSON")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if !o.allowRemote && !loopback(o.Target) {
		return nil, fmt.Errorf("target %s is not this machine: hammering it needs --allow-remote", o.Target)
	}
	return o, nil
}

func loopback(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}

func hammer(ctx context.Context, o *options) (*shopper.Result, []shopper.Verdict, error) {
	limited, cancel := context.WithTimeout(ctx, o.maxTime)
	defer cancel()
	res, err := shopper.Run(limited, o.Config)
	if err != nil {
		return nil, nil, err
	}
	// An interrupted run is judged as well: it sold less than the stock.
	checking, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
	defer cancel()
	return res, shopper.Check(checking, res), nil
}
