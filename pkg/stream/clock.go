package stream

import (
	"context"
	"time"

	"notsale/pkg/sale"
)

// ServerTime returns the time by the clock of the NATS server that leads the
// directory, and, by this process's clock, the middle of the round trip that asked
// for it.
func (d *Directory) ServerTime(ctx context.Context) (server, local time.Time, err error) {
	return d.client.serverTime(ctx, directoryStream)
}

// SaleTime is ServerTime for the server that leads the sale's stream and so
// stamps its packs. Each server of a cluster has a clock of its own.
func (c *Client) SaleTime(ctx context.Context, id sale.ID) (server, local time.Time, err error) {
	return c.serverTime(ctx, saleStream(id))
}

func (c *Client) serverTime(ctx context.Context, name string) (server, local time.Time, err error) {
	sent := time.Now()
	info, err := c.info(ctx, name)
	return info.Now, sent.Add(time.Since(sent) / 2), err
}
