package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"notsale/loadtest/faults/check"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // something is violated
	exitUsage  = 2 // nothing could be judged
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	o := check.DefaultOptions()
	fs := flag.NewFlagSet("checkhistory", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.DurationVar(&o.Timeout, "timeout", o.Timeout, "for porcupine as a whole")
	fs.DurationVar(&o.ClockTolerance, "clock-tolerance", o.ClockTolerance, "how far clocks may be apart; 0: they are not compared")
	fs.BoolVar(&o.Drained, "drained", o.Drained, "the ledger was read when nothing was queued")
	fs.BoolVar(&o.SoldOut, "sold-out", o.SoldOut, "the sale must have sold out")
	fs.IntVar(&o.MaxFindings, "findings", o.MaxFindings, "how many findings per invariant are listed")
	asJSON := fs.Bool("json", false, "print the report as JSON")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil || fs.NArg() != 1 {
		fmt.Fprintln(stderr, "usage: checkhistory [flags] FILE")
		return exitUsage
	}
	report, err := judge(fs.Arg(0), o)
	if err == nil {
		err = show(stdout, report, *asJSON)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "checkhistory:", err)
		return exitUsage
	case !report.OK:
		return exitFailed
	}
	return exitOK
}

func judge(path string, o check.Options) (*check.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	h, err := check.Read(f)
	_ = f.Close() // it was only read
	if err != nil {
		return nil, err
	}
	return check.Check(h, o), nil
}

func show(w io.Writer, r *check.Report, asJSON bool) error {
	if !asJSON {
		return r.Print(w)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
