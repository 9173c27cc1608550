//go:build unix

package backends

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// storeLimit is the size of a store that nobody tells: three quarters of what is
// free on its disk and of what it has taken itself, and never less than at an
// earlier start. So a start on a full disk does not leave it too small for the
// streams that it has, however much room comes later: a full disk is seen as a
// full disk. It is 0 if nothing can be found out about the disk.
//
// The largest one so far is in the file Data/nats.store; what does not fit on
// the disk, because the folder was moved, is not believed.
func storeLimit(dir string, log *slog.Logger) int64 {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		log.Warn("it is not known how large the disk is", "folder", dir, "error", err)
		return 0
	}
	block := int64(disk.Bsize) //nolint:unconvert // it is of another type elsewhere
	file := dir + ".store"
	limit := threeQuarters(int64(disk.Bavail)*block + folderBytes(dir))
	if had := readNumber(file); had >= limit {
		return min(had, max(limit, threeQuarters(int64(disk.Blocks)*block)))
	}
	if err := writePrivate(file, strconv.FormatInt(limit, 10)+"\n", nil); err != nil {
		log.Warn("the size of the store is not kept for the next start", "error", err)
	}
	return limit
}

func threeQuarters(bytes int64) int64 { return bytes / 4 * 3 }

// folderBytes is what the files below a folder hold.
func folderBytes(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // what is not there takes no room
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// readNumber reads a file that holds a number, 0 if there is none.
func readNumber(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
