//go:build unix

package edge_test

import (
	"testing"

	"notsale/pkg/backends/backendstest"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// front is the edge of a test.
type front struct{ *edgetest.Front }

func newFront(t *testing.T, change func(*edge.Config), opts ...backendstest.Option) *front {
	t.Helper()
	return &front{edgetest.New(t, change, opts...)}
}

// frontOn is newFront on a stage that the test has changed.
func frontOn(t *testing.T, stage *servicetest.Stage, change func(*edge.Config)) *front {
	t.Helper()
	return &front{edgetest.On(t, stage, change)}
}
