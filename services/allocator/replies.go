package allocator

import (
	"maps"
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/wire"
)

// repliesPerMessage keeps a message of replies within wire.MaxMessage, and
// within what the server takes.
func repliesPerMessage(most int) int { return max(1, min(most, wire.MaxMessage)/wire.ReplySize) }

// replies sorts a batch's replies by edge; its memory is reused.
type replies struct {
	edges  Edges
	byEdge map[string][]wire.Reply
	buffer []byte
}

func newReplies(to Edges) *replies { return &replies{edges: to, byEdge: map[string][]wire.Reply{}} }

// send sends one message per edge, more where they would be too large. A
// message that cannot be sent is dropped: its waiters ask again; the error is the
// last such.
func (r *replies) send(all []allocation.Reply) (failed error) {
	for i := range all {
		d := &all[i].Decision
		r.byEdge[all[i].Edge] = append(r.byEdge[all[i].Edge], wire.Reply{
			Number: all[i].Number, Code: d.Code, Position: d.Position, Reason: d.Reason, At: d.At,
		})
	}
	most := repliesPerMessage(r.edges.MaxMessage())
	for _, edge := range slices.Sorted(maps.Keys(r.byEdge)) {
		for list := range slices.Chunk(r.byEdge[edge], most) {
			r.buffer = wire.AppendReplies(r.buffer[:0], list)
			if err := r.edges.Reply(edge, r.buffer); err != nil {
				failed = err
			}
		}
	}
	clear(r.byEdge)
	return failed
}
