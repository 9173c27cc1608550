//go:build linux

package compose

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImage is what is promised of the image: the program alone, without root,
// with labels and a health check, and the same files from each build of a commit.
func TestImage(t *testing.T) {
	t.Parallel()
	needEngine(t)
	const again = "notsale:test-again"
	first := image(t)
	if err := build(again, anotherFolder(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", again).Run() }) //nolint:noctx // after the test
	files, second := imageFiles(t, first), imageFiles(t, again)
	if !maps.Equal(files, second) {
		t.Errorf("two builds differ:\n%v\n%v", files, second)
	}
	names := slices.Sorted(maps.Keys(files))
	want := []string{"etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/ca-certificates.crt", "notsale"}
	if !slices.Equal(names, want) {
		t.Errorf("the image has %v, want %v", names, want)
	}

	var told []struct {
		Size   int64
		Config struct {
			User        string
			Env         []string
			Entrypoint  []string
			Labels      map[string]string
			Healthcheck *struct{ Test []string }
		}
	}
	if err := json.Unmarshal(run(t, "docker", "image", "inspect", first), &told); err != nil || len(told) != 1 {
		t.Fatalf("%v of %d", err, len(told))
	}
	cfg := told[0].Config
	if cfg.User != "10001:10001" || !slices.Equal(cfg.Entrypoint, []string{"/notsale"}) || cfg.Healthcheck == nil {
		t.Errorf("user %s, entrypoint %v, health check %v", cfg.User, cfg.Entrypoint, cfg.Healthcheck)
	}
	if cfg.Labels["org.opencontainers.image.version"] != "test" || cfg.Labels["org.opencontainers.image.title"] != "notsale" {
		t.Errorf("labels %v", cfg.Labels)
	}
	t.Logf("figure: size of the image: %.1f MB", float64(told[0].Size)/1e6)
}

// anotherFolder is a copy of what the image is built from, with a file more that is
// not in the program: every step is done anew. What Go has compiled is kept, that it
// is the same each time is Go's own promise.
func anotherFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"pkg", "services", "deployments"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{
		"docker-compose.yml": "docker-compose.yml", ".dockerignore": ".dockerignore", "go.mod": "go.mod", "go.sum": "go.sum", "README.md": "pkg/README.md",
	} {
		text, err := os.ReadFile(filepath.Join(root, from))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// imageFiles returns mode, owner and digest of each file in an image's layers.
func imageFiles(t *testing.T, name string) map[string]string {
	t.Helper()
	files := map[string]string{}
	each(t, run(t, "docker", "save", name), func(h *tar.Header, text []byte) {
		if !layer(text) {
			return
		}
		each(t, text, func(h *tar.Header, text []byte) {
			files[h.Name] = fmt.Sprintf("%o %d:%d %x", h.Mode, h.Uid, h.Gid, sha256.Sum256(text))
			if h.Name == "notsale" {
				static(t, text)
			}
		})
	})
	return files
}

// layer tells whether a file is an archive, as an image's layers are.
func layer(text []byte) bool {
	_, err := tar.NewReader(bytes.NewReader(text)).Next()
	return err == nil
}

func static(t *testing.T, program []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if libraries, err := f.ImportedLibraries(); err != nil && !errors.Is(err, elf.ErrNoSymbols) || len(libraries) > 0 {
		t.Errorf("the program is not static: %v, %v", libraries, err)
	}
	if f.Section(".interp") != nil {
		t.Error("the program needs a loader")
	}
}

func each(t *testing.T, archive []byte, f func(*tar.Header, []byte)) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f(h, text)
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return out
}
