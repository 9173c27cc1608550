//go:build unix

package faults_test

import (
	"testing"

	"notsale/loadtest/faults/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }
