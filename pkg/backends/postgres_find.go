//go:build unix

package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// minMajor is the oldest PostgreSQL that the ledger's SQL is written for.
const minMajor = 14

// probeWait is the limit of one "--version".
const probeWait = 5 * time.Second

// pgInstall is a folder with an initdb and a postgres that run and have the same
// version.
type pgInstall struct {
	dir     string
	version string // such as "15.18"
	major   int
}

// findPostgres chooses the programs: only PG_BIN if it is set; else the first suitable
// folder on PATH, then of the distributions' folders, newest first; else a download. If
// there is data, only its major version is suitable.
func findPostgres(ctx context.Context, pgBin string, major int, a *account, log *slog.Logger) (pgInstall, error) {
	if pgBin != "" {
		found, err := suitable(ctx, pgBin, major, a)
		if err != nil {
			err = fmt.Errorf("PG_BIN: %w; name the folder of initdb and postgres, or unset it", err)
		}
		return found, err
	}
	var unsuitable []error
	for _, dir := range slices.Concat(pathFolders(), distributionFolders()) {
		found, err := suitable(ctx, dir, major, a)
		if err == nil {
			return found, nil
		}
		unsuitable = append(unsuitable, err)
	}
	found, err := fetchPostgres(ctx, major, a, log)
	if err != nil {
		return pgInstall{}, errors.Join(append(unsuitable, err)...)
	}
	return found, nil
}

// suitable runs both programs of a folder as the account. The error says why they
// cannot serve data of this major version; 0: new data.
func suitable(ctx context.Context, dir string, major int, a *account) (pgInstall, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return pgInstall{}, fmt.Errorf("folder of postgres: %w", err)
	}
	initdb, err := programVersion(ctx, filepath.Join(dir, "initdb"), a)
	if err != nil {
		return pgInstall{}, err
	}
	version, err := programVersion(ctx, filepath.Join(dir, "postgres"), a)
	if err != nil {
		return pgInstall{}, err
	}
	i := pgInstall{dir: dir, version: version, major: folderMajor(version)}
	switch {
	case initdb != version:
		return i, fmt.Errorf("%s holds initdb %s, but postgres %s", dir, initdb, version)
	case major != 0 && i.major != major:
		return i, fmt.Errorf("the data was made by PostgreSQL %d, %s holds %s", major, dir, version)
	case i.major < minMajor:
		return i, fmt.Errorf("%s holds PostgreSQL %s, need %d or later", dir, version, minMajor)
	}
	return i, nil
}

// pathFolders lists the folders of every postgres on PATH. It follows links: initdb is
// beside the program, not beside a link in /usr/local/bin.
func pathFolders() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		program, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err == nil && filepath.IsAbs(program) && !slices.Contains(dirs, filepath.Dir(program)) {
			dirs = append(dirs, filepath.Dir(program))
		}
	}
	return dirs
}

var firstNumber = regexp.MustCompile(`\d+`)

// distributionFolders lists the folders in which packages install the programs, newest
// first.
func distributionFolders() []string {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",            // Debian, Ubuntu
		"/usr/pgsql-*/bin",                     // PostgreSQL's own RPMs
		"/usr/libexec/postgresql*",             // Alpine
		"/opt/homebrew/opt/postgresql*/bin",    // Homebrew, Apple silicon
		"/usr/local/opt/postgresql*/bin",       // Homebrew, Intel
		"/Library/PostgreSQL/*/bin",            // macOS installer
		"/Applications/Postgres.app/*/*/*/bin", // Postgres.app: Contents/Versions/17
	} {
		found, _ := filepath.Glob(pattern) // only a bad pattern fails
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(folderMajor(b), folderMajor(a)) })
		dirs = append(dirs, found...)
	}
	return dirs
}

func folderMajor(dir string) int {
	major, _ := strconv.Atoi(firstNumber.FindString(dir))
	return major
}

var pgVersion = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[^ \n]*)`)

// programVersion runs a program as the account. It refuses scripts: a wrapper script
// would get the signals instead of the server.
func programVersion(ctx context.Context, program string, a *account) (string, error) {
	if isScript(program) {
		return "", fmt.Errorf("%s is a script, not the program itself", program)
	}
	out, err := runShort(ctx, a, program, "--version")
	if err != nil {
		return "", err
	}
	match := pgVersion.FindSubmatch(out)
	if match == nil {
		return "", fmt.Errorf("%s --version says %.80q", program, out)
	}
	return string(match[1]), nil
}

// runShort runs a program that ends at once, as the account, and returns its output.
func runShort(ctx context.Context, a *account, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", childEnv(), a.attr()
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	return out, nil
}

func isScript(program string) bool {
	f, err := os.Open(program)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	start := make([]byte, 2)
	n, _ := f.Read(start)
	return string(start[:n]) == "#!"
}
