package stream

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// UnsoldBytes is the most that a part of the streams of no sale may reserve: for
// a million bad checkouts. Before it is full the next one is made.
const UnsoldBytes = 256 << 20

// UnsoldParts returns the numbers of the streams of attempts of no sale, in
// order. The last one takes attempts.
func (c *Client) UnsoldParts(ctx context.Context) (parts []int, err error) {
	for _, filter := range []string{checkoutSubject(wire.AttemptStream{}), "checkouts.0.*"} {
		err := c.names(ctx, c.cfg.RequestTimeout, filter, func(name string) {
			rest := strings.TrimPrefix(strings.TrimPrefix(name, "CHECKOUTS_0"), "_")
			part, err := strconv.Atoi("0" + rest)
			if err == nil && (wire.AttemptStream{Part: part}).String() == name {
				parts = append(parts, part)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("stream: listing the streams of no sale: %w", err)
		}
	}
	slices.Sort(parts)
	return slices.Compact(parts), nil
}

// UnsoldPart is AttemptInfo for a part of the streams of no sale.
func (c *Client) UnsoldPart(ctx context.Context, part int) (Info, error) {
	return c.info(ctx, unsoldStream(part))
}

// CreateUnsold makes a stream of the checkout attempts that belong to no sale.
// It may be repeated. ErrNoRoom: the store is full, but for the room that is kept for
// the next sale.
func (c *Client) CreateUnsold(ctx context.Context, part int) error {
	subject := checkoutSubject(wire.AttemptStream{Part: part})
	return c.create(ctx, unsoldStream(part), subject, min(c.cfg.AttemptBytes, UnsoldBytes), OpeningBytes)
}

// CloseUnsold makes a stream of no sale read-only, for ever. It may be repeated.
func (c *Client) CloseUnsold(ctx context.Context, part int) error {
	return c.seal(ctx, unsoldStream(part))
}

// RemoveUnsold deletes a stream of attempts of no sale, with all its messages. It may
// be repeated. ErrNotSealed: it may still grow, and was not deleted.
func (c *Client) RemoveUnsold(ctx context.Context, part int) error {
	return c.remove(ctx, unsoldStream(part))
}

func checkoutSubject(s wire.AttemptStream) string {
	if s.Part > 0 {
		return "checkouts." + s.Sale.String() + "." + strconv.Itoa(s.Part)
	}
	return "checkouts." + s.Sale.String()
}

func checkoutStream(id sale.ID) string { return wire.AttemptStream{Sale: id}.String() }
func unsoldStream(part int) string     { return wire.AttemptStream{Part: part}.String() }
