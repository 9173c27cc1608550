package shop

import (
	"errors"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/wire"
)

// buyer is a purchase that waits.
type buyer struct {
	number uint64
	code   code.ID
	inbox  host.Inbox
}

func replyTo(b *buyer, position int64) wire.Reply {
	return wire.Reply{Number: b.number, Code: b.code, Position: position, Reason: allocation.Granted}
}

func expectReply(t *testing.T, b *buyer, position int64) {
	t.Helper()
	told, _ := b.inbox.Take(t.Context(), 0)
	if r, ok := told.(wire.Reply); !ok || r.Position != position || r.Code != b.code || r.Number != b.number {
		t.Errorf("buyer %d is told %+v, want position %d", b.number, told, position)
	}
}

func expectNothing(t *testing.T, b *buyer) {
	t.Helper()
	if told, ok := b.inbox.Take(t.Context(), 0); ok {
		t.Errorf("buyer %d is told %+v", b.number, told)
	}
}

func mustAdd(t *testing.T, w *waiters, id code.ID) *buyer {
	t.Helper()
	b := &buyer{code: id, inbox: (&host.Real{}).Inbox()}
	var err error
	if b.number, err = w.add(id, b.inbox); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRepliesReachTheirWaiters(t *testing.T) {
	w := newWaiters(10)
	a, b, again := mustAdd(t, w, code.ID{1}), mustAdd(t, w, code.ID{2}), mustAdd(t, w, code.ID{1})
	w.deliver([]wire.Reply{replyTo(b, 2), replyTo(a, 1), replyTo(again, 1)})
	expectReply(t, a, 1)
	expectReply(t, b, 2)
	expectReply(t, again, 1) // one code, asked twice: each gets its own reply
}

func TestForeignRepliesAreDropped(t *testing.T) {
	w := newWaiters(10)
	a, b := mustAdd(t, w, code.ID{1}), mustAdd(t, w, code.ID{2})
	crossed := replyTo(a, 1)
	crossed.Code = b.code // right number, another's code: an earlier life's number
	unknown := replyTo(b, 2)
	unknown.Number = 99
	w.deliver([]wire.Reply{crossed, unknown, {}})
	expectNothing(t, a)
	expectNothing(t, b)
	w.deliver([]wire.Reply{replyTo(a, 3)})
	expectReply(t, a, 3)
}

func TestLateAndRepeatedRepliesBlockNobody(t *testing.T) {
	w := newWaiters(10)
	a := mustAdd(t, w, code.ID{1})
	w.deliver([]wire.Reply{replyTo(a, 1), replyTo(a, 1), replyTo(a, 1)})
	w.deliver([]wire.Reply{replyTo(a, 1)})
	expectReply(t, a, 1)
	expectNothing(t, a)
	w.remove(a.number)
	w.remove(a.number)
	w.deliver([]wire.Reply{replyTo(a, 1)})
	expectNothing(t, a)
	b := mustAdd(t, w, code.ID{1})
	if b.number == a.number {
		t.Error("a number is used twice")
	}
	w.deliver([]wire.Reply{replyTo(a, 1)}) // late: the same code, but nobody's number
	expectNothing(t, b)
}

func TestWaitersHaveALimit(t *testing.T) {
	w := newWaiters(2)
	a := mustAdd(t, w, code.ID{1})
	mustAdd(t, w, code.ID{2})
	if _, err := w.add(code.ID{3}, nil); !errors.Is(err, ErrCrowded) || w.count() != 2 {
		t.Errorf("the third of two: %v, %d wait", err, w.count())
	}
	w.remove(a.number)
	mustAdd(t, w, code.ID{3})
	if w.count() != 2 {
		t.Errorf("%d wait, want 2", w.count())
	}
}
