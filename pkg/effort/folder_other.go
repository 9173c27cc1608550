//go:build !linux

package effort

import "os"

// Folder is where tests put what they throw away.
func Folder() string { return os.TempDir() }
