package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"notsale/pkg/client"
)

const (
	startTime = 2 * time.Minute // a first start may have to fetch Postgres
	startPoll = 50 * time.Millisecond
	stopTime  = 30 * time.Second
	logTail   = 2000
)

// process is a server under test.
type process struct {
	url    string
	cmd    *exec.Cmd
	log    *os.File
	exited chan error // gets cmd.Wait's result, once
}

// start runs a server, and waits until it is ready and has an open sale.
// Its output goes to a file, which is quoted if it fails.
func start(ctx context.Context, logPath, listen, program string, args ...string) (*process, error) {
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	p := &process{url: "http://" + listen, log: log, exited: make(chan error, 1)}
	p.cmd = exec.Command(program, args...) //nolint:gosec,noctx // runs what the user asked to measure; stop ends it in its own way
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = cleanEnv(os.Environ())
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() { p.exited <- p.cmd.Wait() }()
	if err := p.await(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", p.url, err), p.stop(), p.tail())
	}
	return p, nil
}

// cleanEnv drops what would make notsale use other backends or settings than
// its own defaults: every round must start from nothing.
func cleanEnv(env []string) []string {
	var kept []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		url := strings.TrimSuffix(name, "_FILE")
		if strings.HasPrefix(name, "NOTSALE_") || url == "DATABASE_URL" || url == "REDIS_URL" || url == "NATS_URL" {
			continue
		}
		kept = append(kept, kv)
	}
	return kept
}

func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	shop, err := client.New(client.Config{Base: p.url})
	if err != nil {
		return err
	}
	defer shop.Close()
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		ready, err := shop.Do(ctx, http.MethodGet, "/readyz")
		if err == nil && ready.Status == http.StatusOK {
			if _, err = shop.OpenSale(ctx); err == nil {
				return nil
			}
		}
		select {
		case exit := <-p.exited:
			p.exited <- exit // for stop
			return fmt.Errorf("exited before it was ready: %w", exit)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// stop asks the process to end, as Ctrl-C does, and kills it if it does not.
func (p *process) stop() error {
	defer func() { _ = p.log.Close() }() // written by the process, not by us
	_ = p.cmd.Process.Signal(os.Interrupt)
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case <-p.exited: //nolint:errcheck // how it ends is not measured
		return nil
	case <-timer.C:
		err := p.cmd.Process.Kill()
		<-p.exited //nolint:errcheck // it was killed
		return errors.Join(fmt.Errorf("%s did not stop within %v", p.cmd.Path, stopTime), err)
	}
}

// tail is the end of the process's output, as an error to join.
func (p *process) tail() error {
	out, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err
	}
	return fmt.Errorf("its output ends:\n%s", bytes.TrimSpace(out[max(0, len(out)-logTail):]))
}

// freeAddress returns a loopback address that nobody listens on right now.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close() //nolint:errcheck // nothing was sent
	return l.Addr().String(), nil
}
