package edge

import (
	"errors"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/wire"
	"notsale/services/edge/flow"
)

func replyTo(w *waiter, position int64) wire.Reply {
	return wire.Reply{Number: w.number, Code: w.code, Position: position, Reason: allocation.Granted}
}

func expectReply(t *testing.T, w *waiter, position int64) {
	t.Helper()
	select {
	case r := <-w.reply:
		if r.Position != position || r.Code != w.code || r.Number != w.number {
			t.Errorf("waiter %d got %+v, want position %d", w.number, r, position)
		}
	default:
		t.Errorf("waiter %d got nothing", w.number)
	}
}

func expectNothing(t *testing.T, w *waiter) {
	t.Helper()
	select {
	case r := <-w.reply:
		t.Errorf("waiter %d got %+v", w.number, r)
	default:
	}
}

func mustAdd(t *testing.T, w *waiters, id code.ID) *waiter {
	t.Helper()
	one, err := w.add(id)
	if err != nil {
		t.Fatal(err)
	}
	return one
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
	w.remove(a)
	w.remove(a)
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
	if _, err := w.add(code.ID{3}); !errors.Is(err, flow.ErrCrowded) || w.count() != 2 {
		t.Errorf("the third of two: %v, %d wait", err, w.count())
	}
	w.remove(a)
	mustAdd(t, w, code.ID{3})
	if w.count() != 2 {
		t.Errorf("%d wait, want 2", w.count())
	}
}
