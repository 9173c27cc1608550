package effort

import (
	"os"
	"syscall"
)

// inMemory is a folder in memory, which Linux gives to everybody.
const inMemory = "/dev/shm"

// roomy is how much must be free there: the servers of all packages that are
// tested at once keep some hundred megabytes each.
const roomy = 4 << 30

// Folder is where tests put what they throw away and sync to no disk, such as
// the servers' data: thousands of small files, of which many file systems make
// hard work.
func Folder() string {
	var there syscall.Statfs_t
	if err := syscall.Statfs(inMemory, &there); err != nil || there.Bavail*uint64(there.Bsize) < roomy {
		return os.TempDir()
	}
	return inMemory
}
