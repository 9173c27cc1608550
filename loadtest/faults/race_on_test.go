//go:build race

package faults_test

// storeSlack is by how much more the race detector lets NATS cost, which runs
// in the tests' own process.
const storeSlack = 2
