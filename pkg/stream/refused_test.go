package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/stream"
)

// When NATS revokes the permission for a subscription, the client reports it; when NATS
// gives it back, the client subscribes again.
func TestARefusedSubscriptionIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ without string }{
		"of replies":     {`subscribe: { deny: ["replies.>"] }`},
		"of the library": {`subscribe: { deny: ["_INBOX.>"] }`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := backendstest.NewGuarded(t, "")
			client := connect(t, config(g.URL("edge")))
			open(t, client)
			heard := make(chan string, 100)
			stop, err := client.Replies("e", func(data []byte) { heard <- string(data) })
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			works := func() error {
				if err := errors.Join(client.Refused(), client.Reply("e", []byte("reply")), client.PublishPack(t.Context(), 1, []byte("pack"))); err != nil {
					return err
				}
				select {
				case <-heard:
					return nil
				case <-time.After(100 * time.Millisecond):
					return errors.New("nothing is heard")
				}
			}
			eventually(t, "all works", works)
			g.Reload(c.without)
			eventually(t, "the client knows that it is deaf", func() error {
				if client.Refused() == nil {
					return errors.New("it hears")
				}
				return nil
			})
			g.Reload("")
			eventually(t, "all works again", works)
		})
	}
}

// A publish that NATS forbids fails at once, is certainly not stored, and does not
// affect others.
func TestADeniedPublish(t *testing.T) {
	t.Parallel()
	g := backendstest.NewGuarded(t, "")
	client := connect(t, config(g.URL("edge")))
	open(t, client)
	g.Reload(`publish: { deny: ["purchases.1"] }`)
	eventually(t, "the publish is denied", func() error {
		err := client.PublishPack(t.Context(), 1, []byte("pack"))
		if !errors.Is(err, stream.ErrDenied) {
			return fmt.Errorf("want ErrDenied: %w", errors.Join(err, errors.New("not denied")))
		}
		certain(t, "denied", err)
		return nil
	})
	if err := client.PublishAttempts(t.Context(), 1, []byte("attempts")); err != nil {
		t.Errorf("another subject: %v", err)
	}
	before := last(t, client)
	if err := client.Unusable(); !errors.Is(err, stream.ErrDenied) || !strings.Contains(err.Error(), "purchases.1") {
		t.Errorf("Unusable reports: %v", err)
	}
	g.Reload("")
	eventually(t, "the client finds out that it is allowed again", client.Unusable)
	if after := last(t, client); after != before {
		t.Errorf("the stream ends at %d, and at %d before that was tried", after, before)
	}
	if err := client.PublishPack(t.Context(), 1, []byte("pack")); err != nil {
		t.Error(err)
	}
}

// A forbidden publish that nobody waits for is logged once. A rehearsal finds what is
// forbidden before anybody publishes it.
func TestDeniedPublishesThatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	g := backendstest.NewGuarded(t, "")
	var log testlog.Log
	client := connectTelling(t, config(g.URL("edge")), log.Logger())
	g.Reload(`publish: { deny: ["replies.>", "purchases.>"] }`)
	eventually(t, "denied replies are reported", func() error {
		for _, edge := range []string{"a", "b"} {
			if err := client.Reply(edge, []byte("reply")); err != nil {
				return err
			}
		}
		if err := client.Trouble(); err == nil || !strings.Contains(err.Error(), "replies.") {
			return fmt.Errorf("trouble: %w", errors.Join(err, errors.New("not reported")))
		}
		return nil
	})
	if err := client.Unusable(); err != nil {
		t.Error(err)
	}
	client.Rehearse(t.Context())
	if err := client.Unusable(); !errors.Is(err, stream.ErrDenied) || !strings.Contains(err.Error(), "purchases.0") {
		t.Errorf("Unusable reports after a rehearsal: %v", err)
	}
	g.Reload("")
	eventually(t, "the client finds out that they are allowed again", client.Unusable)
	if n := log.Count("replies."); n != 1 {
		t.Errorf("told %d times\n%s", n, &log)
	}
}

// A user that may not make the probe, so that the store's size is unknown, opens sales
// all the same, at once and in their usual size.
func TestADeniedLookAtTheSizeOfTheStore(t *testing.T) {
	t.Parallel()
	for _, permissions := range []string{
		`publish: { deny: ["$JS.API.STREAM.CREATE.ROOM", "$JS.API.STREAM.UPDATE.ROOM"] }`, `publish: { deny: ["$JS.API.STREAM.*.ROOM"] }`,
	} {
		g := backendstest.NewGuarded(t, "")
		g.Reload(permissions)
		client := connect(t, config(g.URL("edge")))
		open(t, client)
		s, err := client.Size(t.Context(), "SALE_1")
		if err != nil || s.MaxBytes != 16<<20 {
			t.Errorf("%+v, %v", s, err)
		}
		if space, err := client.Space(t.Context()); err != nil || space.Room() < 1<<40 || space.Share() > 0.1 {
			t.Errorf("%+v, %v", space, err)
		}
	}
}
