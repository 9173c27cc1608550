package follow

import (
	"context"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Requests is the stream of a sale's purchase requests.
func Requests(c *stream.Client, id sale.ID) Stream { return requests{c, id} }

type requests struct {
	client *stream.Client
	id     sale.ID
}

func (r requests) Info(ctx context.Context) (stream.Info, error) { return r.client.Info(ctx, r.id) }

func (r requests) Message(ctx context.Context, sequence uint64) (stream.Message, error) {
	return r.client.Message(ctx, r.id, sequence)
}

func (r requests) Read(ctx context.Context, from uint64) (Reader, error) {
	return r.client.Read(ctx, r.id, from)
}

// Attempts is a stream of checkout attempts.
func Attempts(c *stream.Client, s wire.AttemptStream) Stream { return attempts{c, s} }

type attempts struct {
	client *stream.Client
	stream wire.AttemptStream
}

func (a attempts) Info(ctx context.Context) (stream.Info, error) {
	return a.client.AttemptInfo(ctx, a.stream)
}

func (a attempts) Message(ctx context.Context, sequence uint64) (stream.Message, error) {
	return a.client.AttemptMessage(ctx, a.stream, sequence)
}

func (a attempts) Read(ctx context.Context, from uint64) (Reader, error) {
	return a.client.ReadAttempts(ctx, a.stream, from)
}
