//go:build unix

package main

import (
	"testing"

	"notsale/pkg/backends/backendstest"
	"notsale/services/edge"
	"notsale/services/servicetest/edgetest"
)

// front is the edge of a test.
type front struct{ *edgetest.Front }

func newFront(t *testing.T, change func(*edge.Config), opts ...backendstest.Option) *front {
	t.Helper()
	return &front{edgetest.New(t, change, opts...)}
}
