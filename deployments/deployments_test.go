package deployments

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"notsale/services/edge"
)

// The program's flags, as environment variables.
var flags = []string{
	"NOTSALE_LISTEN", "NOTSALE_OPS_LISTEN", "NOTSALE_DATA", "NOTSALE_SALE_EVERY", "NOTSALE_SALE_STOCK",
	"NOTSALE_USER_LIMIT", "NOTSALE_CODE_TTL", "NOTSALE_CODE_KEYS", "NOTSALE_PURCHASE_WAIT",
	"NOTSALE_DRAIN", "NOTSALE_STREAM_REPLICAS", "NOTSALE_LOG_FORMAT", "NOTSALE_LOG_LEVEL", "NOTSALE_NATS_MONITOR",
	"NOTSALE_ARCHIVE_TO", "NOTSALE_ARCHIVE_AFTER",
}

// load reads the compose file as compose does, which refuses what it does not know.
func load(t *testing.T) *types.Project {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml")}},
		Environment: types.Mapping{}, // it must not depend on the caller's
	}, loader.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeHasEveryService(t *testing.T) {
	want := []string{
		"allocator", "archiver", "audit", "edge", "grants", "migrate", "nats", "nats-volume",
		"postgres", "recorder", "redis", "sale", "scheduler",
	}
	project := load(t)
	if got := project.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	for _, name := range []string{"edge", "allocator"} {
		s := project.Services[name]
		if got := s.GetScale(); got != 2 {
			t.Errorf("%s: %d replicas, want 2", name, got)
		}
	}
}

// Whoever ends an edge waits until it has answered what has arrived.
func TestComposeWaitsForEdgesToStop(t *testing.T) {
	if grace := load(t).Services["edge"].StopGracePeriod; grace == nil || time.Duration(*grace) <= edge.DefaultConfig().StopTime() {
		t.Errorf("an edge has %v to stop, and may take %v", grace, edge.DefaultConfig().StopTime())
	}
}

func TestComposeServicesAreHardened(t *testing.T) {
	project := load(t)
	for name, s := range project.Services {
		if s.Privileged || !s.ReadOnly || s.Pid == "host" || s.NetworkMode == "host" {
			t.Errorf("%s: privileged, writable or on the host", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: keeps capabilities (drops %v) or may gain them (%v)", name, s.CapDrop, s.SecurityOpt)
		}
		owner := name == "nats-volume" // gives a volume away, which takes root
		if (s.User == "" || strings.HasPrefix(s.User, "0") || s.User == "root" || len(s.CapAdd) > 0) && !owner {
			t.Errorf("%s: runs as %q with %v", name, s.User, s.CapAdd)
		}
		if oneShot := s.Restart == "no"; (s.HealthCheck == nil) != oneShot {
			t.Errorf("%s: a service has a health check, a one-shot job has none", name)
		}
		if len(s.Ports) > 0 && name != "edge" {
			t.Errorf("%s: publishes %v", name, s.Ports)
		}
	}
	if !project.Networks["stores"].Internal {
		t.Error("the stores can be reached from outside, or reach it")
	}
}

func TestComposeImagesArePinned(t *testing.T) {
	version := regexp.MustCompile(`^[a-z/]+:\d[\w.-]*$`)
	for name, s := range load(t).Services {
		if s.Build == nil && !version.MatchString(s.Image) {
			t.Errorf("%s: image %q names no version", name, s.Image)
		}
	}
}

func TestComposeEnvironment(t *testing.T) {
	secret := regexp.MustCompile(`(?i)password|secret|token|_key|_url|://`)
	for name, s := range load(t).Services {
		for key, value := range s.Environment {
			if value == nil {
				t.Errorf("%s: %s is taken from the caller's environment", name, key)
				continue
			}
			if strings.HasPrefix(key, "NOTSALE_") && !slices.Contains(flags, key) {
				t.Errorf("%s: %s is no flag of the program", name, key)
			}
			if !secret.MatchString(key+"="+*value) || key == "NOTSALE_NATS_MONITOR" { // which takes no password
				continue
			}
			file, ok := strings.CutPrefix(*value, "/run/secrets/")
			mounted := slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == file })
			if !ok || !mounted {
				t.Errorf("%s: %s=%s is not the path of one of its secrets", name, key, *value)
			}
		}
	}
}

// makeSecrets runs secrets.sh into a folder of the test.
func makeSecrets(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	out, err := exec.CommandContext(t.Context(), "sh", "secrets.sh", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	return dir
}

func TestComposeFilesExist(t *testing.T) {
	project := load(t)
	dir := makeSecrets(t)
	for name, c := range project.Configs {
		if _, err := os.Stat(c.File); err != nil {
			t.Errorf("config %s: %v", name, err)
		}
	}
	ignored := filepath.Join(project.WorkingDir, "deployments", "secrets")
	for name, s := range project.Secrets {
		if filepath.Dir(s.File) != ignored {
			t.Errorf("secret %s: %s is not in the folder that git ignores", name, s.File)
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(s.File))); err != nil {
			t.Errorf("secret %s: secrets.sh does not make it: %v", name, err)
		}
	}
}

// A second run must not lock a running installation out of its own stores.
func TestSecretsAreKept(t *testing.T) {
	dir := makeSecrets(t)
	read := func() string {
		var all strings.Builder
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString(e.Name())
			all.Write(text)
		}
		return all.String()
	}
	before := read()
	if out, err := exec.CommandContext(t.Context(), "sh", "secrets.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if read() != before {
		t.Error("a second run changed the secrets")
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v", info.Mode())
	}
}

func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, final, ok := strings.Cut(string(text), "\nFROM scratch\n")
	if !ok || strings.Contains(final, "\nFROM ") || strings.Contains(final, "\nRUN ") {
		t.Error("the last stage is not from scratch")
	}
	for _, want := range []string{"\nUSER 10001:10001\n", "\nENTRYPOINT [\"/notsale\"]\n"} {
		if !strings.Contains(final, want) {
			t.Errorf("the last stage has no %q", want)
		}
	}
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s", want)
		}
	}
}
