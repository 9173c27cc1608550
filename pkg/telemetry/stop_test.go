package telemetry_test

import (
	"context"
	"net"
	"testing"
)

// Neither a request that never ends nor one that is never sent to its end holds
// the stop of a process.
func TestStuckRequestsDoNotHoldTheStop(t *testing.T) {
	t.Parallel()
	o, asked, served := serveStuck(t)
	for _, text := range []string{
		"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /readyz HTTP/1.1\r\nHost: x\r\n",
		"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n",
	} {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", o.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	<-asked
	if err := o.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}
