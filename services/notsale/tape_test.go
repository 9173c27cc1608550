//go:build unix

package main

import (
	"context"
	"iter"
	"maps"
	"math"
	"slices"
	"testing"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/auditor"
	"notsale/services/servicetest"
)

// recording is what a tape holds, to be audited often, and to be altered.
type recording struct {
	openings map[sale.ID]stream.Opening
	packs    map[sale.ID][]stream.Message
	attempts map[sale.ID][]stream.Message
}

// recordTape copies the streams of sales (0: only the attempts of no sale).
func recordTape(t *testing.T, tape auditor.Streams, ids ...sale.ID) *recording {
	t.Helper()
	r := &recording{
		openings: map[sale.ID]stream.Opening{}, packs: map[sale.ID][]stream.Message{},
		attempts: map[sale.ID][]stream.Message{},
	}
	var err error
	for _, id := range ids {
		r.attempts[id] = servicetest.Collect(t, tape.AttemptMessages(t.Context(), id, 1, math.MaxUint64))
		if id == 0 {
			continue
		}
		if r.openings[id], err = tape.Opening(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		r.packs[id] = servicetest.Collect(t, tape.Messages(t.Context(), id, 1, math.MaxUint64))
	}
	return r
}

// Sales implements auditor.AllStreams.
func (r *recording) Sales(context.Context) ([]sale.ID, error) {
	return slices.Sorted(maps.Keys(r.openings)), nil
}

// copy returns a recording that can be altered alone.
func (r *recording) copy() *recording {
	c := *r
	c.openings, c.packs, c.attempts = map[sale.ID]stream.Opening{}, map[sale.ID][]stream.Message{}, map[sale.ID][]stream.Message{}
	for id, o := range r.openings {
		c.openings[id] = o
	}
	for id := range r.attempts {
		c.packs[id], c.attempts[id] = slices.Clone(r.packs[id]), slices.Clone(r.attempts[id])
	}
	return &c
}

// renumber gives the messages the sequences that a stream would.
func renumber(list []stream.Message) {
	for i := range list {
		list[i].Sequence = uint64(i) + 1
	}
}

func (r *recording) Opening(_ context.Context, id sale.ID) (stream.Opening, error) {
	return r.openings[id], nil
}

func (r *recording) Messages(_ context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return between(r.packs[id], first, last)
}

func (r *recording) AttemptMessages(_ context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return between(r.attempts[id], first, last)
}

func (r *recording) LastAttempt(_ context.Context, id sale.ID) (uint64, error) {
	return uint64(len(r.attempts[id])), nil
}

func between(list []stream.Message, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		for _, m := range list {
			if m.Sequence >= first && m.Sequence <= last && !yield(m, nil) {
				return
			}
		}
	}
}
