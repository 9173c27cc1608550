// Package shoppertest is the whole system in one mutex: an http.Handler that
// answers as notsale does, keeps the sale in memory, and can be told to be
// wrong in one way. The load tests are tested against it.
package shoppertest
