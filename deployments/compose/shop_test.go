//go:build linux

package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
)

// standIns are the tags of the images that .ci/containers/images makes.
var standIns = map[string]string{
	"GO_TAG": "1.26-bookworm", "POSTGRES_TAG": "15", "REDIS_TAG": "7", "NATS_TAG": "2.15.2-alpine", "HAPROXY_TAG": "3",
}

// shop is a compose project of its own, which ends with the test.
type shop struct {
	t    *testing.T
	name string
	env  []string
	url  string // of the balancer
}

// newShop makes a project that is not up yet, with these settings, NAME=VALUE.
func newShop(t *testing.T, settings ...string) *shop {
	t.Helper()
	needEngine(t)
	port := freePort(t)
	s := &shop{t: t, name: fmt.Sprintf("notsale-test-%d-%s", os.Getpid(), port), url: "http://127.0.0.1:" + port}
	all := maps.Clone(standIns)
	all["NOTSALE_PORT"], all["COMPOSE_PROJECT_NAME"], all["NOTSALE_IMAGE"] = port, s.name, image(t)
	all["COMPOSE_DISABLE_ENV_FILE"] = "1" // this machine's own settings
	all["NOTSALE_SALE_EVERY"] = "87600h"  // no sale opens beside the one that is looked at
	s.env = append(os.Environ(), settings...)
	for name, value := range all {
		s.env = append(s.env, name+"="+value)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the containers:\n%s", s.try("ps", "-a"))
			t.Logf("their logs:\n%s", s.try("logs", "--no-color", "--tail", "40"))
		}
		s.try("--profile", "*", "down", "-v", "-t", "1")
	})
	return s
}

// command runs a command of docker in the folder of the compose file.
func (s *shop) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Dir, cmd.Env = root, s.env
	return cmd
}

// docker returns what a command prints; one that fails ends the test.
func (s *shop) docker(args ...string) string {
	s.t.Helper()
	var said bytes.Buffer
	cmd := s.command(s.t.Context(), args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("docker %s: %v\n%s%s", strings.Join(args, " "), err, out, said.Bytes())
	}
	return string(out)
}

func (s *shop) compose(args ...string) string {
	s.t.Helper()
	return s.docker(append([]string{"compose"}, args...)...)
}

// try runs a command of compose that may fail, also when the test has ended.
func (s *shop) try(args ...string) string {
	out, err := s.command(context.WithoutCancel(s.t.Context()), append([]string{"compose"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

// containers returns the ids of a service's running containers.
func (s *shop) containers(service string) []string {
	s.t.Helper()
	return strings.Fields(s.compose("ps", "-q", service))
}

// kill ends the process of one of a service's containers as the kernel would:
// what `docker kill` ends is not started again.
func (s *shop) kill(service string) {
	s.t.Helper()
	all := s.containers(service)
	if len(all) == 0 {
		s.t.Fatalf("no %s runs", service)
	}
	pid := s.pid(all[0])
	if pid <= 1 {
		s.t.Fatalf("%s has no process", service)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatalf("killing %s: %v", service, err)
	}
	s.wait(service+" to be started again", func() error {
		if now := s.pid(all[0]); now == 0 || now == pid {
			return fmt.Errorf("its process is %d, which was %d", now, pid)
		}
		return nil
	})
	s.t.Logf("killed %s", service)
}

// pid returns the process of a container, 0 while it has none.
func (s *shop) pid(container string) int {
	s.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(s.docker("inspect", "-f", "{{.State.Pid}}", container)))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// settle waits until every container is as well as its health check asks.
func (s *shop) settle() {
	s.t.Helper()
	s.wait("every container to be healthy", func() error {
		var sick []string
		for _, c := range s.inspect() {
			if c.State.Health != nil && c.State.Health.Status != "healthy" {
				sick = append(sick, c.Service()+" is "+c.State.Status+", "+c.State.Health.Status)
			}
		}
		if len(sick) > 0 {
			return fmt.Errorf("%v", sick)
		}
		return nil
	})
}

// wait repeats a look until it is satisfied.
func (s *shop) wait(what string, look func() error) {
	s.t.Helper()
	deadline := time.Now().Add(2 * effort.Patience)
	for {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || s.t.Context().Err() != nil {
			s.t.Fatalf("waited for %s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// container is what the engine says of one.
type container struct {
	ID   string `json:"Id"`
	Args []string
	// Config is what it was made with.
	Config struct {
		Env    []string
		Cmd    []string
		Labels map[string]string
	}
	State struct {
		Status string
		Health *struct{ Status string }
	}
	Mounts []struct {
		Name, Destination string
		RW                bool
	}
}

// Service returns the name of the service that a container is of.
func (c *container) Service() string { return c.Config.Labels["com.docker.compose.service"] }

// inspect returns all containers of the project that run, or should.
func (s *shop) inspect() []container {
	s.t.Helper()
	ids := strings.Fields(s.compose("ps", "-q", "-a"))
	var all []container
	if err := json.Unmarshal([]byte(s.docker(append([]string{"inspect"}, ids...)...)), &all); err != nil {
		s.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b container) int { return strings.Compare(a.Service(), b.Service()) })
	return all
}

// logs returns what the services said.
func (s *shop) logs(services ...string) string {
	s.t.Helper()
	return s.compose(append([]string{"logs", "--no-color", "--no-log-prefix"}, services...)...)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// needEngine skips the test where no engine with compose answers.
func needEngine(t *testing.T) {
	t.Helper()
	if os.Getenv("NOTSALE_CONTAINERS") != "1" {
		t.Skip("only with `make containers`")
	}
	backendstest.RequireReal(t, "a Docker engine with compose (as root: eval \"$(.ci/containers/engine start)\" && .ci/containers/images)", engine())
}

// engine tells whether there is one.
var engine = sync.OnceValue(func() bool {
	ctx, cancel := context.WithTimeout(context.Background(), effort.Patience)
	defer cancel()
	return os.Geteuid() == 0 && // kills the processes of containers
		exec.CommandContext(ctx, "docker", "version").Run() == nil &&
		exec.CommandContext(ctx, "docker", "compose", "version").Run() == nil
})

var imageOnce = sync.OnceValues(func() (string, error) {
	const name = "notsale:test"
	return name, build(name, root)
})

// root is the folder of the compose file.
const root = "../.."

// build makes the image of what is in a folder, under a name.
func build(name, folder string) error {
	cmd := exec.Command("docker", "compose", "build", "edge") //nolint:noctx // as long as it takes
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "NOTSALE_IMAGE="+name, "NOTSALE_VERSION=test")
	for tag, value := range standIns {
		cmd.Env = append(cmd.Env, tag+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the image: %w\n%s", err, out)
	}
	return nil
}

// image builds the image once for all tests.
func image(t *testing.T) string {
	t.Helper()
	name, err := imageOnce()
	if err != nil {
		t.Fatal(err)
	}
	return name
}
