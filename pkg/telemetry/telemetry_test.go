package telemetry_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/telemetry"
)

func TestNewLogger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format, level string
		debug, info   bool   // are lines of these levels written
		wrong         string // what the error must name
	}{
		{"text", "info", false, true, ""},
		{"text", "debug", true, true, ""},
		{"json", "DEBUG", true, true, ""},
		{"json", "warn", false, false, ""},
		{"json", "error", false, false, ""},
		{"text", "loud", false, false, `level "loud"`},
		{"text", "", false, false, `level ""`},
		{"xml", "info", false, false, `format "xml"`},
		{"", "info", false, false, `format ""`},
	} {
		var out bytes.Buffer
		log, err := telemetry.NewLogger(&out, telemetry.LogConfig{Format: c.format, Level: c.level})
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q %q: error %v does not name %s", c.format, c.level, err, c.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q %q: %v", c.format, c.level, err)
			continue
		}
		log.Debug("small things")
		log.Info("things", "sale", 7)
		if got := strings.Contains(out.String(), "small things"); got != c.debug {
			t.Errorf("%q %q: debug lines %v", c.format, c.level, got)
		}
		if got := strings.Contains(out.String(), "sale"); got != c.info {
			t.Errorf("%q %q: info lines %v", c.format, c.level, got)
		}
	}
}

func TestJSONLinesAreJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, telemetry.LogConfig{Format: "json", Level: "info"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("opened", "sale", 7)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "opened" || line["sale"] != 7.0 || line["time"] == nil {
		t.Errorf("%s: %v", out.String(), err)
	}
}

func TestTheDefaultsAreValid(t *testing.T) {
	t.Parallel()
	if _, err := telemetry.NewLogger(&bytes.Buffer{}, telemetry.DefaultLogConfig()); err != nil {
		t.Error(err)
	}
}

// Each registry is its own: two services of one process may use one name.
func TestRegistriesDoNotMix(t *testing.T) {
	t.Parallel()
	for range 2 {
		r := telemetry.NewRegistry()
		if err := r.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_test_total", Help: "A test."})); err != nil {
			t.Error(err)
		}
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, f := range families {
			seen[f.GetName()] = true
		}
		for _, name := range []string{"notsale_test_total", "go_goroutines"} {
			if !seen[name] {
				t.Errorf("%s is missing", name)
			}
		}
	}
}
