// Package client buys in a notsale shop over HTTP, by the API of the contest. It
// asks with the same code until it is answered:
//
//	shop, err := client.New(client.Config{Base: "http://127.0.0.1:8080"})
//	defer shop.Close()
//	checkout, err := shop.Checkout(ctx, "alice", 17)
//	sold, err := shop.Purchase(ctx, checkout.Code)
//
// A code buys at most once, and is answered the same however often it is asked.
// So the client sends the same request again whenever the outcome is open: after no
// answer, 202 (in the queue, not decided yet), 408, any 5xx, and 429 with a
// Retry-After. Between two requests it waits for a random time that doubles from
// [Config.MinPause] to [Config.MaxPause], and in addition for what Retry-After says.
//
// Every other status but 200 is a refusal, and final: a [*Problem], which
// errors.Is compares by its type:
//
//	if errors.Is(err, client.ErrItemTaken) { … }
//
// Checkout and Purchase go on until their context ends: give it a deadline. Their
// error then wraps [ErrUnanswered] and the context's. A purchase without an answer
// may still be decided: keep the code and ask again, or use [Client.Decision], which
// buys nothing. Another checkout gives another code, with which a second item may be
// bought.
//
// Errors never show a code, because whoever has it can buy with it.
package client
