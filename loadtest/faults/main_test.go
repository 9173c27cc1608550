//go:build unix

package faults_test

import (
	"testing"

	"notsale/loadtest/faults/arena"
)

func TestMain(m *testing.M) { arena.Main(m) }
