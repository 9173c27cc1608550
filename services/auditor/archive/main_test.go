//go:build unix

package archive

import (
	"os"
	"testing"

	"notsale/pkg/backends/backendstest"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		runJob(job)
	}
	backendstest.Main(m)
}
