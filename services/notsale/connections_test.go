//go:build unix

package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/boot"
	"notsale/services/servicetest"
)

// A server of NATS that is down is passed over, and verified once it is up.
func TestAServerThatIsDownIsVerifiedLater(t *testing.T) {
	t.Parallel()
	durable := "http: \"127.0.0.1:-1\"\njetstream { store_dir: STORE, max_file_store: 1GB, sync_interval: always }"
	good := backendstest.Configure(t, durable)
	late := backendstest.Configure(t, durable)
	monitor := late.MonitorAddr().String()
	late.Stop()
	stage := servicetest.New(t)
	stage.NATSURL = good.URL("")
	said := &testlog.Log{}
	log := slog.New(slog.NewTextHandler(said, nil))
	s := newSettings()
	s.natsMonitor = "http://" + good.MonitorAddr().String() + ", http://" + monitor
	on, stop := context.WithCancel(t.Context())
	defer stop()
	if err := s.verifyNATS(on, log, stage.Stream("edge"))(t.Context()); err != nil || !strings.Contains(said.String(), "verified later") {
		t.Fatalf("%v, and the log says\n%s", err, said)
	}
	late.Write("http: \"" + monitor + "\"")
	late.Start()
	servicetest.Eventually(t, "that it loses what it acknowledges is an alarm", func() bool { return strings.Contains(said.String(), "not-durable") })
}

// A process with an edge is given the time that the edge takes to answer what has
// arrived, whatever it was told to wait for.
func TestAStopIsGivenTheTimeThatAnEdgeTakes(t *testing.T) {
	t.Parallel()
	s := newSettings()
	for _, wait := range []time.Duration{s.edge.PurchaseWait, time.Minute} {
		s.edge.PurchaseWait, s.edge.Drain = wait, time.Hour
		app := fx.New(fx.NopLogger, s.stopTime())
		if got := app.StopTimeout(); got < s.edge.StopTime()+boot.StopTimeout || got < wait+time.Hour {
			t.Errorf("the process is given %v, its edge takes up to %v", got, s.edge.StopTime())
		}
	}
}
