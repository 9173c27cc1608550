//go:build unix

package backends

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// storeLimit is the size of a store if none is configured: three quarters of the disk
// space that is free or already the store's, but not less than at an earlier start.
// So after a start on a full disk the limit is not too small for the existing streams:
// it is the disk that is full, and they can grow again once there is space. It is 0 if
// nothing can be found out about the disk.
//
// The file Data/nats.store keeps the largest limit so far. If the folder was moved to
// a smaller disk, that disk limits it.
func storeLimit(dir string, log *slog.Logger) int64 {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		log.Warn("the size of the disk cannot be read", "folder", dir, "error", err)
		return 0
	}
	block := int64(disk.Bsize) //nolint:unconvert // another type on other systems
	file := dir + ".store"
	limit := threeQuarters(int64(disk.Bavail)*block + folderBytes(dir))
	var had int64
	if text, err := os.ReadFile(file); err == nil {
		_, _ = fmt.Sscan(string(text), &had)
	}
	if had >= limit {
		return min(had, max(limit, threeQuarters(int64(disk.Blocks)*block)))
	}
	if err := writePrivate(file, strconv.FormatInt(limit, 10)+"\n", nil); err != nil {
		log.Warn("the size of the store cannot be saved for the next start", "error", err)
	}
	return limit
}

func threeQuarters(bytes int64) int64 { return bytes / 4 * 3 }

// folderBytes is the size of all files below a folder.
func folderBytes(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // a file that is gone takes no space
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
