// Package shopper sells out a sale over HTTP and checks what it was told.
//
// It is the client half of the load tests, and knows nothing of the system
// but its HTTP interface:
//
//   - [Transport] is one keep-alive connection. The load shares its cores with
//     the system under test, so it is as lean as net/http allows.
//   - [Run] is the closed loop: each of many clients takes the next unsold
//     item, checks out, purchases, and retries the same code until it has a
//     final answer.
//   - [Check] judges the answers: no item twice, nobody over the limit,
//     exactly the stock, the same body for every retry.
//
// A refusal is a value ([Outcome]); an error of Run means that the run itself
// could not be held. An answer that never became final is counted, and fails
// a check: it is not taken for a refusal.
package shopper
