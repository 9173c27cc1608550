package edge

import (
	"context"
	"time"

	"notsale/pkg/pack"
	"notsale/pkg/rejection"
)

// gate asks the rejection cache for many requests in one round trip.
type gate struct {
	queue *pack.Queue[*inquiry]
}

type inquiry struct {
	question rejection.Question
	answer   rejection.Answer // written by the sender before its ticket is done
}

// gateLimits: a thousand questions take about a millisecond. Beyond 8,000 the
// edge publishes without asking: slower, never wrong.
var gateLimits = pack.Limits{Items: 1000, Bytes: 1000, Queued: 8000, Patience: time.Second}

func newGate(cache *rejection.Cache) *gate {
	return &gate{queue: pack.New(gateLimits, func(ctx context.Context, asked []*inquiry) error {
		questions := make([]rejection.Question, len(asked))
		for i := range asked {
			questions[i] = asked[i].question
		}
		answers, err := cache.Ask(ctx, questions)
		for i := range answers {
			asked[i].answer = answers[i]
		}
		return err
	})}
}

// ask returns what the cache knows of a request; where that is nothing, the
// engine answers. It waits for one round trip at most.
func (g *gate) ask(q rejection.Question) rejection.Answer {
	i := &inquiry{question: q}
	ticket, err := g.queue.Add(i, 1)
	if err != nil {
		return rejection.Answer{}
	}
	<-ticket.Done()
	return i.answer
}
