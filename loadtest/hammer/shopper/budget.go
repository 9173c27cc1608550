package shopper

import (
	"context"
	"sync/atomic"
)

// budget holds what the users may still try to buy. A user is taken out of it
// for each try; a refusal puts the user back, a sale or a refusal by the
// limit does not. So no user's share is ever below what the user may still
// buy, and as long as an item is unsold, there is a user for it.
type budget struct {
	free chan int32   // users, each as often as it may try; closed when none will come any more
	left atomic.Int64 // tries that are free or under way
}

func newBudget(users, limit int) *budget {
	b := &budget{free: make(chan int32, users*limit)}
	b.left.Store(int64(users * limit))
	for range limit {
		for i := range users {
			b.free <- int32(i)
		}
	}
	return b
}

// take waits for a user. It returns false if none will come: ctx ended, or
// the system refused, or sold to, all users more than it should have.
func (b *budget) take(ctx context.Context) (int32, bool) {
	select {
	case user, ok := <-b.free:
		return user, ok
	case <-ctx.Done():
		return 0, false
	}
}

// release ends a try, and puts the user back if it may try again.
func (b *budget) release(user int32, again bool) {
	switch {
	case again:
		b.free <- user
	case b.left.Add(-1) == 0:
		close(b.free)
	}
}
