//go:build unix

package process

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestSum(t *testing.T) {
	const text = "# HELP n_total Some.\n# TYPE n_total counter\nn_total{a=\"}\",b=\"1 2\"} 2\nn_total{a=\"x\"} 3.5 1700000000\n" +
		"n_total_created 9\nother 7\nn_total"
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{{"n_total", nil, 5.5}, {"n_total", []string{`a="x"`}, 3.5}, {"n_total", []string{`b="1 2"`, "a="}, 2}, {"other", nil, 7}, {"none", nil, 0}} {
		if got := sum(text, c.name, c.labels); got != c.want {
			t.Errorf("%s %v: got %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}

// A process does not see what configures notsale here, and says how it ended.
func TestStart(t *testing.T) {
	t.Setenv("NOTSALE_LISTEN", "here")
	t.Setenv("NATS_URL_FILE", "here")
	p, err := Start(exec.Command("sh", "-c", `echo "$NOTSALE_LISTEN$NATS_URL_FILE|$REDIS_URL"; exec sleep 60`), map[string]string{"REDIS_URL": "there"})
	if err != nil {
		t.Fatal(err)
	}
	for p.Running() && !strings.Contains(p.Log(), "\n") {
		time.Sleep(time.Millisecond)
	}
	if p.LogEnd() != "|there\n" {
		t.Errorf("it sees %q", p.LogEnd())
	}
	p.Kill()
	if p.Running() || !p.Killed() || p.Status() == 0 {
		t.Errorf("killed: %v, status %d", p.Killed(), p.Status())
	}
}
