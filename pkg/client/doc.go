// Package client buys in a notsale shop over HTTP, by the API of the contest. It
// asks with the same code until it is answered:
//
//	shop, err := client.New(client.Config{Base: "http://127.0.0.1:8080"})
//	defer shop.Close()
//	checkout, err := shop.Checkout(ctx, "alice", 17)
//	sold, err := shop.Purchase(ctx, checkout.Code)
//
// A code buys at most once, and is answered the same however often it is asked.
// So whatever left the outcome open is followed by the same request: no answer, 202 (in
// the queue, not decided yet), 408, any 5xx, and 429 with a Retry-After. Between
// two requests the client waits: twice as long each time, within [Config.MinPause]
// and [Config.MaxPause], at random, and what Retry-After asks for besides.
//
// Every other status but 200 is a refusal, and final: a [*Problem], which
// errors.Is compares by its type:
//
//	if errors.Is(err, client.ErrItemTaken) { … }
//
// Checkout and Purchase go on until their context ends: give it a deadline. Their
// error then wraps [ErrUnanswered] and the context's. A purchase without an answer
// may be decided still: keep the code, and ask again, or look with
// [Client.Decision], which buys nothing. To check out again is another code, and
// perhaps another item bought.
//
// Errors never show a code: who has it can buy with it.
package client
