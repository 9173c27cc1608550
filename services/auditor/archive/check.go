package archive

import (
	"bytes"

	"notsale/pkg/stream"
)

// checker looks at the records of a section, member by member.
type checker interface {
	// check returns how many records a member has, the number of the first, and
	// which record is not as it is written, counted from 1; 0: none.
	check(text []byte) (records, first int64, bad int)
}

// checks is the checker of one section.
type checks[T any] struct {
	codec  codec[T]
	cut    int
	before *T
	size   int            // of the member before
	visit  func(*T) error // may be nil
	total  *int64         // counts the records; may be nil
	buf    []byte         // reused
}

func (c *checks[T]) check(text []byte) (records, first int64, bad int) {
	if c.size > 0 && c.size < c.cut {
		return 0, 0, 1 // it would be in the member before
	}
	c.size = len(text)
	for rest := text; len(rest) > 0 || records == 0; records++ {
		record, size, ok := c.codec.parse(rest)
		if !ok || len(text)-len(rest) >= c.cut || !c.fits(&record, rest[:size]) {
			return records, first, int(records) + 1
		}
		if records == 0 && c.codec.number != nil {
			first = c.codec.number(&record)
		}
		c.before, rest = &record, rest[size:]
	}
	if c.total != nil {
		*c.total += records
	}
	return records, first, 0
}

// fits reports whether a record is spelt as it is written, and in its place.
func (c *checks[T]) fits(record *T, text []byte) bool {
	c.buf = c.codec.append(c.buf[:0], record)
	return bytes.Equal(c.buf, text) && c.codec.follows(c.before, record) && (c.visit == nil || c.visit(record) == nil)
}

// checker returns that of a section; its records are counted.
func (v *verification) checker(section string) checker {
	counts := &v.tally.manifest.Counts
	switch section {
	case sectionSale:
		return &checks[any]{codec: saleCodec, cut: v.cut, visit: func(record *any) error {
			v.tally.saleRecord(*record)
			return nil
		}}
	case sectionCommits:
		return newChecks(commitCodec, v.cut, &counts.Commits)
	case sectionDecisions:
		return newChecks(decisionCodec, v.cut, &counts.Decisions)
	case sectionAttempts:
		return newChecks(attemptCodec, v.cut, &counts.Attempts)
	case sectionStream:
		c := newChecks(messageCodec, v.cut, &counts.Messages)
		c.before = &stream.Message{}
		c.visit = func(m *stream.Message) error {
			if m.Sequence > 1 {
				return nil
			}
			return v.tally.opening(m.Data)
		}
		return c
	default:
		c := newChecks(messageCodec, v.cut, &counts.AttemptMessages)
		c.before = &stream.Message{}
		return c
	}
}

func newChecks[T any](c codec[T], cut int, total *int64) *checks[T] {
	return &checks[T]{codec: c, cut: cut, total: total}
}
