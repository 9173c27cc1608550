package shopper

import (
	"context"
	"sync"
)

// budget holds what the users may still try to buy. A user is taken out of it
// for each try; a refusal puts the user back, a sale or a refusal by the
// limit does not. So no user's share is ever below what the user may still
// buy, and as long as an item is unsold, there is a user for it.
type budget struct {
	mu    sync.Mutex
	cond  sync.Cond
	free  []int32 // users, each as often as it may try; from head on
	head  int
	taken int // tries under way, which may put a user back
}

func newBudget(users, limit int) *budget {
	b := &budget{free: make([]int32, 0, users*limit)}
	b.cond.L = &b.mu
	for range limit {
		for i := range users {
			b.free = append(b.free, int32(i))
		}
	}
	return b
}

// take waits for a user. It returns false if none will come: ctx ended, or
// the system refused, or sold to, all users more than it should have.
func (b *budget) take(ctx context.Context) (int32, bool) {
	defer context.AfterFunc(ctx, b.wake)()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.head == len(b.free) && b.taken > 0 && ctx.Err() == nil {
		b.cond.Wait()
	}
	if b.head == len(b.free) || ctx.Err() != nil {
		return 0, false
	}
	user := b.free[b.head]
	b.head++
	b.taken++
	return user, true
}

func (b *budget) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cond.Broadcast()
}

// release ends a try, and puts the user back if it may try again.
func (b *budget) release(user int32, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken--
	if again {
		b.free = append(b.free, user)
	}
	if again || b.taken == 0 {
		b.cond.Broadcast()
	}
}
