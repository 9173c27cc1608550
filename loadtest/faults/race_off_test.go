//go:build !race

package faults_test

const storeSlack = 1
