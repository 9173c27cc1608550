//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"notsale/pkg/code"
	"notsale/services/servicetest"
)

// What the shop's listener does not serve, the operations listener does, which by
// default only this machine reaches.
func TestOperationsAreNotForShoppers(t *testing.T) {
	t.Parallel()
	host, _, err := net.SplitHostPort(newSettings().opsListen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		t.Errorf("by default operations listen on %s", newSettings().opsListen)
	}
	f := newFront(t, nil)
	for _, path := range []string{"/metrics", "/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars"} {
		if a := f.Get(t, path); a.Status != http.StatusNotFound {
			t.Errorf("a shopper gets %s: %d", path, a.Status)
		}
	}
}

// Whatever is done in a sale, and however much is logged: neither users nor codes
// nor passwords are; nor do children get secrets as arguments or variables.
func TestLogsAndChildrenTellNoSecret(t *testing.T) {
	t.Parallel()
	p := runUpWith(t, []string{"NOTSALE_REDIS_CA=/nowhere"}, // of another Redis
		"--sale-stock", "12", "--log-level", "debug", "--code-ttl", "2s", "--rate-per-user", "20")
	of := p.FirstSale(t)
	const user = "shopper-tell-nobody"
	var texts []string
	checkout := func(name string, item int64) servicetest.Checkout {
		t.Helper()
		c := p.Checkout(t, name, item)
		texts = append(texts, c.Code)
		return c
	}
	late := checkout(user+"-late", of.LastItem)
	for i := range int64(11) {
		c, rival := checkout(user, of.FirstItem+i), checkout(user+"-rival", of.FirstItem+i)
		p.Purchase(t, c.Code)
		p.Purchase(t, rival.Code)
		p.Purchase(t, rival.Code+"A")
		p.Get(t, servicetest.PurchasePath(rival.Code))
	}
	for range 50 {
		p.Post(t, servicetest.CheckoutPath(user+"-often", of.FirstItem))
	}
	servicetest.Eventually(t, "a code has expired", func() bool { return time.Now().After(late.Expires) })
	p.Purchase(t, late.Code)
	p.Post(t, servicetest.CheckoutPath(user+"-nowhere", 1e9))
	p.Post(t, "/checkout?user_id="+url.QueryEscape(user+" with a space")+"&id=x")
	p.Purchase(t, checkout(user+"-last", of.LastItem).Code)

	secrets := []string{user, p.password("postgres"), p.password("redis"), p.password("nats")}
	for _, text := range texts {
		id, _, err := code.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, text, id.String())
	}
	for id, name := range p.children() {
		for _, of := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", id, of))
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range append(secrets, "REDIS_URL", "DATABASE_URL", "NATS_URL", asProgram) {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("%s of %s holds a secret: %q", of, name, text)
				}
			}
		}
	}
	p.stop()
	log := p.output.String()
	if !strings.Contains(log, "level=DEBUG") {
		t.Error("nothing was logged at level debug")
	}
	for _, secret := range secrets {
		if at := strings.Index(log, secret); at >= 0 {
			t.Errorf("the log holds a secret: %q", log[max(0, at-200):min(len(log), at+200)])
		}
	}
}
