//go:build planted

package planted

import "os"

// The name of the bug that this process has; empty: none.
var Bug = os.Getenv("NOTSALE_PLANTED")
