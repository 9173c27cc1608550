package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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

// UnsoldPart is the state of a stream of attempts of no sale.
type UnsoldPart struct {
	Info

	Now time.Time // by NATS's clock
}

// UnsoldPart asks the leader of a stream of attempts of no sale for its state.
// ErrLost: there is no such stream.
func (c *Client) UnsoldPart(ctx context.Context, part int) (UnsoldPart, error) {
	i, err := c.lookAt(ctx, wire.AttemptStream{Part: part}.String())
	if err != nil {
		return UnsoldPart{}, err
	}
	return UnsoldPart{Info: Info{Created: i.Created, Last: i.State.LastSeq, Bytes: i.State.Bytes}, Now: i.TimeStamp}, nil
}

// CreateUnsold makes a stream of the checkout attempts that belong to no sale.
// It may be repeated. ErrNoRoom: what is left is for the next sale, or nothing is.
func (c *Client) CreateUnsold(ctx context.Context, part int) error {
	of := wire.AttemptStream{Part: part}
	return c.create(ctx, of.String(), checkoutSubject(of), min(c.cfg.AttemptBytes, UnsoldBytes), OpeningBytes)
}

// CloseUnsold makes a stream of no sale take nothing more, for ever. It may be
// repeated.
func (c *Client) CloseUnsold(ctx context.Context, part int) error {
	return c.seal(ctx, wire.AttemptStream{Part: part}.String())
}

// RemoveUnsold deletes a stream of attempts of no sale, with all that is in it.
// It may be repeated. ErrNotSealed: it may still grow, and is kept.
func (c *Client) RemoveUnsold(ctx context.Context, part int) error {
	name := wire.AttemptStream{Part: part}.String()
	cfg, err := c.config(ctx, name)
	switch {
	case errors.Is(err, ErrLost):
		return nil
	case err != nil:
		return err
	case !cfg.Sealed:
		return fmt.Errorf("%w: %s still takes messages", ErrNotSealed, name)
	}
	if err := c.drop(ctx, name); err != nil {
		return fmt.Errorf("stream: removing %s: %w", name, err)
	}
	return nil
}

func checkoutSubject(of wire.AttemptStream) string {
	if of.Part > 0 {
		return "checkouts." + of.Sale.String() + "." + strconv.Itoa(of.Part)
	}
	return "checkouts." + of.Sale.String()
}

func checkoutStream(id sale.ID) string { return wire.AttemptStream{Sale: id}.String() }
