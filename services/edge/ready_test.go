//go:build unix

package edge

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/telemetry"
	"notsale/services/servicetest"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

func newEdge(t *testing.T, cfg Config) *Edge {
	t.Helper()
	e, _ := edgeOn(t, servicetest.New(t), cfg)
	return e
}

func edgeOn(t *testing.T, stage *servicetest.Stage, cfg Config) (*Edge, *prometheus.Registry) {
	t.Helper()
	keys, err := code.NewKeyring([]code.Key{{ID: 1, Secret: make([]byte, code.MinSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = "127.0.0.1:0"
	reg := prometheus.NewRegistry()
	e, err := New(cfg, keys, stage.Ledger("edge"), stage.Stream("edge"), stage.Cache("edge"), &telemetry.Health{}, stage.Log, reg)
	if err == nil {
		err = e.Listen(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	stage.Run(e.Run)
	return e, reg
}

func TestReady(t *testing.T) {
	e := newEdge(t, DefaultConfig())
	servicetest.Eventually(t, "ready", func() bool { return e.Ready(t.Context()) == nil })
	for skew, ready := range map[time.Duration]bool{0: true, maxSkew: true, -maxSkew: true, maxSkew + time.Second: false, -maxSkew - time.Second: false} {
		e.skew.Store(int64(skew))
		if err := e.Ready(t.Context()); (err == nil) != ready || err != nil && !strings.Contains(err.Error(), "clock") {
			t.Errorf("clock off by %v: %v", skew, err)
		}
	}
	e.skew.Store(0)
	e.draining.Store(true)
	if err := e.Ready(t.Context()); !errors.Is(err, errDraining) {
		t.Errorf("draining: %v", err)
	}
}

// The edge measures its clock against NATS's.
func TestClockIsWatched(t *testing.T) {
	e := newEdge(t, DefaultConfig())
	servicetest.Eventually(t, "the clocks are compared", func() bool { return e.skew.Load() != 0 })
	if skew := time.Duration(e.skew.Load()).Abs(); skew > maxSkew {
		t.Errorf("this process is %v off a server in it", skew)
	}
}

func TestConfigIsValidated(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"--code-ttl":      func(c *Config) { c.CodeTTL = time.Millisecond },
		"--purchase-wait": func(c *Config) { c.PurchaseWait = 2 * time.Minute },
		"limits":          func(c *Config) { c.Waiting = 0 },

		"--user-header X-User: anybody": func(c *Config) { c.UserHeader = "X-User" },
		"no name of a header":           func(c *Config) { c.UserHeader, c.TrustedProxies = "X User:", []string{"10.0.0.1"} },
		"--rate-per-user -1":            func(c *Config) { c.RatePerUser = -1 },
		"--rate-per-user +Inf":          func(c *Config) { c.RatePerUser = math.Inf(1) },
		"--rate-per-user 1e+19":         func(c *Config) { c.RatePerUser = 1e19 },
		"--rate-per-address NaN":        func(c *Config) { c.RatePerAddress = math.NaN() },
		"--rate-per-address 1e-09":      func(c *Config) { c.RatePerAddress = 1e-9 },

		"--trusted-proxies": func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/8", "10.0.0.256"} },
	} {
		cfg := DefaultConfig()
		if err := cfg.Validate(); err != nil {
			t.Errorf("default: %v", err)
		}
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
