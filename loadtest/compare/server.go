//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"notsale/loadtest/process"
	"notsale/pkg/client"
)

const (
	startTime = 2 * time.Minute // a first start may have to fetch Postgres
	startPoll = 50 * time.Millisecond
	stopTime  = 30 * time.Second
)

// server is one under test.
type server struct {
	*process.Process

	address string
	url     string
	shop    *client.Client
}

// start runs a server, without what would make notsale use other backends or settings
// than its own defaults, and waits until it is ready and has an open sale.
func start(ctx context.Context, listen, program string, args ...string) (*server, error) {
	p, err := process.Start(exec.Command(program, args...), nil) //nolint:gosec,noctx // runs what the user asked to measure; stop ends it in its own way
	if err != nil {
		return nil, err
	}
	s := &server{Process: p, address: listen, url: "http://" + listen}
	if s.shop, err = client.New(client.Config{Base: s.url}); err == nil {
		err = s.await(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.url, err), s.stop(), s.said())
	}
	return s, nil
}

func (s *server) await(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if process.Ready(s.address) {
			if _, err = s.shop.OpenSale(ctx); err == nil {
				return nil
			}
		}
		select {
		case <-s.Ended():
			return fmt.Errorf("exited before it was ready: status %d", s.Status())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", errors.Join(ctx.Err(), err))
		case <-time.After(startPoll):
		}
	}
}

// stop asks the process to end, and kills it if it does not.
func (s *server) stop() error {
	if s.shop != nil {
		s.shop.Close()
	}
	s.Terminate()
	select {
	case <-s.Ended():
		return nil
	case <-time.After(stopTime):
		s.Kill()
		return fmt.Errorf("%s did not stop within %v", s.url, stopTime)
	}
}

// said is the end of the process's output, as an error to join.
func (s *server) said() error { return fmt.Errorf("its output ends:\n%s", s.LogEnd()) }
