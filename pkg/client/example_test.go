package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"notsale/pkg/client"
)

// Buy any item of the newest sale.
func Example() {
	server := httptest.NewServer(someShop()) // or: notsale up
	defer server.Close()
	shop, err := client.New(client.Config{Base: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shop.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sale, err := shop.OpenSale(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for item := sale.FirstItem; item <= sale.LastItem; item++ {
		checkout, err := shop.Checkout(ctx, "alice", item)
		if err != nil {
			fmt.Println(err)
			continue
		}
		sold, err := shop.Purchase(ctx, checkout.Code)
		switch {
		case errors.Is(err, client.ErrItemTaken):
			fmt.Printf("somebody was faster with item %d\n", item)
			continue
		case errors.Is(err, client.ErrUnanswered):
			fmt.Println("keep the code, and ask again later")
			return
		case err != nil:
			fmt.Println(err)
			return
		}
		fmt.Printf("item %d is alice's\n", sold.Item)
		return
	}
	// Output:
	// somebody was faster with item 1
	// item 2 is alice's
}

// someShop has sold item 1, and is slow with item 2.
func someShop() http.Handler {
	slow := true
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sales", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"id":1,"stock":10,"sold":1,"state":"open","first_item":1,"last_item":10}]`)
	})
	mux.HandleFunc("POST /checkout", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"code":"code-%s"}`, r.FormValue("id"))
	})
	mux.HandleFunc("POST /purchase", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.FormValue("code") == "code-1":
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"type":"urn:notsale:problem:item-taken","title":"The item has been sold"}`)
		case slow:
			slow = false
			w.WriteHeader(http.StatusAccepted)
		default:
			fmt.Fprint(w, `{"message":"Purchase successful","status":"success","item":2}`)
		}
	})
	return mux
}
