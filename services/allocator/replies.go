package allocator

import (
	"notsale/pkg/allocation"
	"notsale/pkg/wire"
)

// repliesPerMessage keeps a message of replies within wire.MaxMessage, and
// within what the server takes.
func repliesPerMessage(most int) int { return max(1, min(most, wire.MaxMessage)/wire.ReplySize) }

// replies sorts a batch's replies by edge; its memory is reused.
type replies struct {
	byEdge map[string][]wire.Reply
	buffer []byte
}

// send sends one message per edge, more where they would be too large. A
// message that cannot be sent is dropped: its waiters ask again; the error is the
// last such. most is the size of the largest message.
func (r *replies) send(all []allocation.Reply, most int, reply func(edge string, data []byte) error) (failed error) {
	if r.byEdge == nil {
		r.byEdge = map[string][]wire.Reply{}
	}
	for i := range all {
		d := &all[i].Decision
		r.byEdge[all[i].Edge] = append(r.byEdge[all[i].Edge], wire.Reply{
			Number: all[i].Number, Code: d.Code, Position: d.Position, Reason: d.Reason, At: d.At,
		})
	}
	for edge, list := range r.byEdge {
		for len(list) > 0 {
			n := min(len(list), repliesPerMessage(most))
			r.buffer = wire.AppendReplies(r.buffer[:0], list[:n])
			if err := reply(edge, r.buffer); err != nil {
				failed = err
			}
			list = list[n:]
		}
		delete(r.byEdge, edge)
	}
	return failed
}
