package deployments

import (
	"io/fs"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
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
	"NOTSALE_ARCHIVE_TO", "NOTSALE_ARCHIVE_AFTER", "NOTSALE_BACKUP_HORIZON", "NOTSALE_TRUSTED_PROXIES",
	"NOTSALE_RATE_PER_USER", "NOTSALE_RATE_PER_ADDRESS",
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

// once are the services that do one thing and end; the last are for people.
var once = []string{"secrets", "cluster", "roles", "migrate", "grants", "audit", "sale"}

func TestComposeHasEveryService(t *testing.T) {
	project := load(t)
	want := append([]string{"allocator", "archiver", "balancer", "edge", "nats", "nats-2", "nats-3", "postgres", "recorder", "redis", "scheduler"}, once...)
	slices.Sort(want)
	if got := project.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	for _, name := range []string{"edge", "allocator", "recorder", "scheduler", "archiver"} {
		s := project.Services[name]
		if got := s.GetScale(); got != 2 {
			t.Errorf("%s: %d replicas, want 2", name, got)
		}
	}
}

// Whoever ends an edge waits until it has answered what has arrived.
func TestComposeWaitsForEdgesToStop(t *testing.T) {
	s := load(t).Services["edge"]
	cfg := edge.DefaultConfig()
	var err error
	if cfg.Drain, err = time.ParseDuration(*s.Environment["NOTSALE_DRAIN"]); err != nil || cfg.Drain == 0 {
		t.Errorf("an edge that stops is sent new requests for a while, and drains %v: %v", cfg.Drain, err)
	}
	if grace := s.StopGracePeriod; grace == nil || time.Duration(*grace) <= cfg.StopTime() {
		t.Errorf("an edge has %v to stop, and may take %v", grace, cfg.StopTime())
	}
}

func TestComposeServicesAreHardened(t *testing.T) {
	project := load(t)
	for _, name := range []string{"stores", "ops"} {
		if !project.Networks[name].Internal {
			t.Errorf("network %s can be reached from outside, or reach it", name)
		}
	}
	for name, s := range project.Services {
		if s.Privileged || !s.ReadOnly || s.Pid == "host" || s.NetworkMode == "host" {
			t.Errorf("%s: privileged, writable or on the host", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: keeps capabilities (drops %v) or may gain them (%v)", name, s.CapDrop, s.SecurityOpt)
		}
		owner := name == "secrets" && s.NetworkMode == "none" // gives volumes away, which takes root
		if (s.User == "" || strings.HasPrefix(s.User, "0") || s.User == "root" || len(s.CapAdd) > 0) && !owner {
			t.Errorf("%s: runs as %q with %v", name, s.User, s.CapAdd)
		}
		if len(s.Ports) > 0 && name != "balancer" {
			t.Errorf("%s: publishes %v", name, s.Ports)
		}
	}
}

func TestComposeServicesHaveLimits(t *testing.T) {
	for name, s := range load(t).Services {
		if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("%s: its log may fill the disk", name)
		}
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 ||
			s.Deploy.Resources.Limits.NanoCPUs == 0 || s.Deploy.Resources.Limits.Pids == 0 {
			t.Errorf("%s: no limits", name)
		}
		if slices.Contains(once, name) {
			if s.Restart != "no" {
				t.Errorf("%s: ends, and is started again", name)
			}
			continue
		}
		if s.HealthCheck == nil || s.HealthCheck.Disable || s.Restart != "unless-stopped" {
			t.Errorf("%s: no health check, or not started again", name)
		}
	}
}

// An engine may give every container a proxy for the web, which a health check of
// the container itself must not ask.
func TestComposeHealthChecksAskNoProxy(t *testing.T) {
	for name, s := range load(t).Services {
		if s.HealthCheck == nil || !slices.Contains(s.HealthCheck.Test, "wget") {
			continue
		}
		if i := slices.Index(s.HealthCheck.Test, "-Y"); i < 0 || s.HealthCheck.Test[i+1] != "off" {
			t.Errorf("%s: %v may ask a proxy", name, s.HealthCheck.Test)
		}
	}
}

// An edge believes the balancer, in whatever network the engine puts both.
func TestComposeTrustsItsBalancer(t *testing.T) {
	trusted := strings.Split(*load(t).Services["edge"].Environment["NOTSALE_TRUSTED_PROXIES"], ",")
	for _, balancer := range []string{"172.18.0.2", "192.168.16.2", "10.1.0.2", "fd4c:3a5f:1c7b::2"} {
		a := netip.MustParseAddr(balancer)
		if !slices.ContainsFunc(trusted, func(one string) bool { return netip.MustParsePrefix(one).Contains(a) }) {
			t.Errorf("a balancer at %s is not believed: all shoppers count as one", balancer)
		}
	}
}

func TestComposeImagesArePinned(t *testing.T) {
	version := regexp.MustCompile(`^[a-z/]+:\d+\.\d+(\.\d+)?[\w.-]*$`)
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
			if secret.MatchString(key+"="+*value) && !strings.HasPrefix(*value, "/run/secrets/") && !strings.HasPrefix(*value, "/run/codes/") && key != "NOTSALE_NATS_MONITOR" { // which takes no password
				t.Errorf("%s: %s=%s is not the path of a secret", name, key, *value)
			}
		}
	}
}

// secretsOf are the volumes of secrets, and the services that each is of.
var secretsOf = map[string][]string{
	"secrets-edge": {"edge"}, "secrets-codes": {"edge"}, "secrets-allocator": {"allocator"}, "secrets-recorder": {"recorder"},
	"secrets-scheduler": {"scheduler"}, "secrets-archiver": {"archiver"}, "secrets-auditor": {"audit"},
	"secrets-operator": {"sale"}, "secrets-migrate": {"migrate"}, "secrets-postgres": {"postgres", "roles"},
	"secrets-redis": {"redis"}, "secrets-nats": {"nats", "nats-2", "nats-3"}, "secrets-ca": nil,
}

// Each service sees its own secrets, and cannot change them.
func TestComposeSecretsAreTheirOwnersOnly(t *testing.T) {
	project := load(t)
	seen := map[string][]string{}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if !strings.HasPrefix(v.Source, "secrets-") {
				continue
			}
			if name == "secrets" {
				if _, known := secretsOf[v.Source]; !known {
					t.Errorf("%s is nobody's", v.Source)
				}
				continue
			}
			seen[v.Source] = append(seen[v.Source], name)
			if !v.ReadOnly {
				t.Errorf("%s may write %s", name, v.Source)
			}
		}
	}
	for volume, owners := range secretsOf {
		got := seen[volume]
		if slices.Sort(got); !slices.Equal(got, owners) {
			t.Errorf("%s is read by %v, want %v", volume, got, owners)
		}
	}
	made, err := os.ReadDir(makeSecrets(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, identity := range made {
		if _, mounted := secretsOf["secrets-"+identity.Name()]; !mounted {
			t.Errorf("secrets.sh makes a folder %s that no volume keeps", identity.Name())
		}
	}
}

// makeSecrets runs secrets.sh into a folder of the test.
func makeSecrets(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	runSecrets(t, dir)
	return dir
}

// runSecrets runs secrets.sh as compose does: by a root that may not write what
// nobody may.
func runSecrets(t *testing.T, dir string, env ...string) {
	t.Helper()
	args := []string{"sh", "secrets.sh", dir}
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		args = append([]string{"setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"}, args...)
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
}

func TestComposeFilesExist(t *testing.T) {
	for name, c := range load(t).Configs {
		if _, err := os.Stat(c.File); err != nil {
			t.Errorf("config %s: %v", name, err)
		}
	}
}

// readAll returns the files of a folder by their path in it.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A second run must not lock a running installation out of its own stores, and
// makes anew, everywhere, what was removed.
func TestSecretsAreKept(t *testing.T) {
	dir := makeSecrets(t)
	before := readAll(t, dir)
	runSecrets(t, dir)
	if !maps.Equal(readAll(t, dir), before) {
		t.Error("a second run changed the secrets")
	}
	if err := os.Remove(filepath.Join(dir, "recorder", "database_url")); err != nil {
		t.Fatal(err)
	}
	runSecrets(t, dir)
	after := readAll(t, dir)
	changed := []string{}
	for path, text := range after {
		if text != before[path] {
			changed = append(changed, path)
		}
	}
	if slices.Sort(changed); !slices.Equal(changed, []string{"postgres/roles.sql", "recorder/database_url"}) {
		t.Errorf("one removed password changed %v", changed)
	}
	u, err := url.Parse(strings.TrimSpace(after["recorder/database_url"]))
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := u.User.Password(); !strings.Contains(after["postgres/roles.sql"], "notsale_recorder PASSWORD '"+password+"'") {
		t.Error("the database does not learn the recorder's new password")
	}
}

// A run that was killed leaves files beside those that it was to make, and a power
// cut may leave files of nothing: the next run makes what is missing.
func TestSecretsAfterAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	runSecrets(t, dir, "TLS=on")
	before := readAll(t, dir)
	for path := range before {
		path = strings.TrimSuffix(filepath.Join(dir, path), ".pem")
		if err := os.WriteFile(path+".new", []byte("half"), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	gone := []string{"codes/keys.json", "postgres/password", "postgres/cert.pem", "redis/key.pem", "redis/cert.pem", "edge/ca.pem"}
	for _, path := range gone {
		empty := filepath.Join(dir, path)
		if err := os.Remove(empty); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(empty, nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	runSecrets(t, dir, "TLS=on")
	after := readAll(t, dir)
	for path, text := range before {
		if after[path] == "" || after[path] != text && !slices.Contains(append(gone, "postgres/key.pem", "ca/request", "ca/log"), path) {
			t.Errorf("%s: %q, was %q", path, after[path], text)
		}
	}
}

// No secret is read by anyone but those who need it: none stands in two
// secretsOf' folders, but for a store's own.
func TestSecretsAreNotShared(t *testing.T) {
	random := regexp.MustCompile(`[0-9a-f]{48}|"secret":"[^"]*"`)
	owners := map[string]string{}
	for path, text := range readAll(t, makeSecrets(t)) {
		identity, _, _ := strings.Cut(path, "/")
		if slices.Contains([]string{"postgres", "redis", "nats"}, identity) {
			continue
		}
		for _, secret := range random.FindAllString(text, -1) {
			if other, shared := owners[secret]; shared {
				t.Errorf("%s has a secret of %s", path, other)
			}
			owners[secret] = path
		}
	}
	if len(owners) == 0 {
		t.Error("no secret was found")
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
