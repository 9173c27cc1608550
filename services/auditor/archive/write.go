package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"time"

	_ "embed" // the description of the format

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/auditor"
)

//go:embed readme.txt
var readme []byte

// ErrMoved says that a hole was found in the stream while the sale was exported,
// so that what was read at the end is not what the beginning spoke of. Try again.
var ErrMoved = errors.New("archive: a hole was found in the sale's stream while it was exported")

// Write writes the archive of a sale, up to the cursor that the ledger has when
// it begins. progress may be nil; it is told how many of how many positions and
// messages were written. After an error what was written is of no use.
func Write(ctx context.Context, w io.Writer, l auditor.Ledger, streams auditor.Streams, id sale.ID, progress auditor.Progress) (Manifest, error) {
	return write(ctx, w, l, streams, id, progress, chunkSize)
}

// write is Write with members that end at another size.
func write(ctx context.Context, w io.Writer, l auditor.Ledger, streams auditor.Streams, id sale.ID, progress auditor.Progress, cut int) (Manifest, error) {
	enc, err := compressor()
	if err != nil {
		return Manifest{}, fmt.Errorf("archive: %w", err)
	}
	defer func() { _ = enc.Close() }()
	var stored []byte // reused
	e := newExport(ctx, w, l, streams, id)
	e.progress, e.cut = progress, cut
	e.compress = func(_ string, records []byte) ([]byte, error) {
		stored = enc.EncodeAll(records, stored[:0])
		return stored, nil
	}
	if err := e.run(); err != nil {
		return Manifest{}, err
	}
	return e.manifest, nil
}

// export is one export under way.
type export struct {
	ctx      context.Context
	ledger   auditor.Ledger
	streams  auditor.Streams
	id       sale.ID
	progress auditor.Progress
	out      *tar.Writer
	cut      int // at how many bytes of records a member ends
	compress func(member string, records []byte) ([]byte, error)

	snapshot ledger.Snapshot
	manifest Manifest // of what is written
	total    uint64   // positions and messages there are
	before   uint64   // of these in the sections that are written
}

func newExport(ctx context.Context, w io.Writer, l auditor.Ledger, streams auditor.Streams, id sale.ID) *export {
	return &export{ctx: ctx, ledger: l, streams: streams, id: id, out: tar.NewWriter(w), manifest: Manifest{Format: format, Members: []Member{}}}
}

func (e *export) run() error {
	var err error
	if e.snapshot, err = e.ledger.Snapshot(e.ctx, e.id); err != nil {
		return err
	}
	if e.snapshot.Sale.Sale.ID != e.id {
		return fmt.Errorf("archive: asked for sale %d, the ledger gives sale %d", e.id, e.snapshot.Sale.Sale.ID)
	}
	opening, err := e.streams.Opening(e.ctx, e.id)
	if err != nil {
		return err
	}
	recorded, err := e.ledger.Recorded(e.ctx, e.id)
	if err != nil {
		return err
	}
	last, err := e.streams.LastAttempt(e.ctx, e.id)
	if err != nil {
		return err
	}
	c := &e.snapshot.Position.Cursor
	e.total = uint64(c.Position) + c.Sequence + last
	e.manifest.describe(&e.snapshot, &opening.Sale, recorded.Own)
	if err := e.member(readmeName, readme, readme, 0, 0); err != nil {
		return err
	}
	if err := e.sections(&opening, recorded.Own); err != nil {
		return err
	}
	end, err := e.ledger.Snapshot(e.ctx, e.id)
	if err == nil && end.Position.Cursor.Generation != c.Generation {
		err = ErrMoved
	}
	if err != nil {
		return err
	}
	return e.finish()
}

// decisionPage is how many positions are read at a time, about as many as a member
// holds, so that no session of the database is busy while many are compressed.
const decisionPage = 50_000

// sections writes them in an order that holds for a sale under way, too.
func (e *export) sections(opening *stream.Opening, floor uint64) error {
	c, counts := &e.snapshot.Position.Cursor, &e.manifest.Counts
	if _, err := section(e, sectionSale, saleCodec, e.sale(opening, floor)); err != nil {
		return err
	}
	var err error
	if counts.Commits, err = section(e, sectionCommits, commitCodec, e.commits()); err != nil {
		return err
	}
	decisions := auditor.AllDecisions(e.ctx, e.ledger, e.id, c.Position, decisionPage)
	if counts.Decisions, err = section(e, sectionDecisions, decisionCodec, decisions); err != nil {
		return err
	}
	e.before += uint64(c.Position)
	if counts.Attempts, err = section(e, sectionAttempts, attemptCodec, e.ledger.Attempts(e.ctx, e.id)); err != nil {
		return err
	}
	messages := e.streams.Messages(e.ctx, e.id, 1, max(c.Sequence, 1)) // the opening record at least
	if counts.Messages, err = section(e, sectionStream, messageCodec, messages); err != nil {
		return err
	}
	e.before += c.Sequence
	counts.AttemptMessages, err = section(e, sectionAttemptsStream, messageCodec, e.streams.AttemptMessages(e.ctx, e.id, 1, math.MaxUint64))
	return err
}

// tell tells how far the export is. The end is told once; attempts that came
// after the beginning were not counted.
func (e *export) tell(done uint64) {
	if e.progress != nil && done < e.total {
		e.progress(done, e.total)
	}
}

// finish writes the manifest and the end.
func (e *export) finish() error {
	text := e.manifest.Encode()
	if len(text) > maxManifest {
		return fmt.Errorf("archive: the manifest has %d bytes, more than %d", len(text), maxManifest)
	}
	if err := e.write(manifestName, text); err != nil {
		return err
	}
	if err := e.write(sumName, sumLine(text)); err != nil {
		return err
	}
	err := e.out.Close()
	if err == nil && e.progress != nil {
		e.progress(e.total, e.total)
	}
	return err
}

// write writes a member. Nothing in its header depends on where and when.
func (e *export) write(name string, content []byte) error {
	err := e.out.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
	if err == nil {
		_, err = e.out.Write(content)
	}
	if err != nil {
		return fmt.Errorf("archive: writing %s: %w", name, err)
	}
	return nil
}

// member writes a member that the manifest names.
func (e *export) member(name string, stored, plain []byte, records, first int64) error {
	e.manifest.Members = append(e.manifest.Members, Member{
		Name: name, Records: records, First: first, Size: int64(len(stored)), Sum: sha256.Sum256(stored),
		Plain: int64(len(plain)), PlainSum: sha256.Sum256(plain),
	})
	return e.write(name, stored)
}

// section writes the records of a section and returns how many there were.
func section[T any](e *export, name string, c codec[T], records iter.Seq2[T, error]) (total int64, err error) {
	m := chunk{name: name, text: make([]byte, 0, e.cut+e.cut/8)}
	var before *T
	for record, err := range records {
		if err != nil {
			return total, err
		}
		if before != nil && !c.follows(before, &record) {
			return total, fmt.Errorf("archive: record %d of %s does not follow the one before", total+1, name)
		}
		before = &record
		if m.records == 0 && c.number != nil {
			m.first = c.number(record)
		}
		size := len(m.text)
		if m.text = c.write(m.text, &record); len(m.text)-size > maxRecord {
			return total, fmt.Errorf("archive: record %d of %s has more than %d bytes", total+1, name, maxRecord)
		}
		m.records++
		total++
		if len(m.text) >= e.cut {
			if err := e.chunk(&m); err != nil {
				return total, err
			}
		}
		if c.number != nil {
			e.tell(e.before + uint64(c.number(record)))
		}
	}
	return total, e.chunk(&m)
}

// chunk is a member of a section, under way.
type chunk struct {
	name           string // of the section
	number         int    // of members before
	text           []byte
	records, first int64
}

// chunk writes the member, if there is anything in it, and begins the next.
func (e *export) chunk(m *chunk) error {
	if m.records == 0 {
		return nil
	}
	if err := e.ctx.Err(); err != nil {
		return err
	}
	m.number++
	name := fmt.Sprintf("%s/%06d.zst", m.name, m.number)
	stored, err := e.compress(name, m.text)
	if err == nil {
		err = e.member(name, stored, m.text, m.records, m.first)
	}
	m.text, m.records, m.first = m.text[:0], 0, 0
	return err
}

// sale yields the records of the section sale.
func (e *export) sale(opening *stream.Opening, floor uint64) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		s := &e.snapshot
		ok := yield(&s.Sale, nil) && yield(&s.Position, nil) && yield(&streams{created: opening.Created.UnixNano(), floor: floor}, nil)
		for i := 0; ok && i < len(s.Holes); i++ {
			ok = yield(&s.Holes[i], nil)
		}
		for i := 0; ok && i < len(s.Items); i++ {
			ok = yield(&s.Items[i], nil)
		}
		for i := 0; ok && i < len(s.Beyond); i++ {
			ok = yield(&s.Beyond[i], nil)
		}
	}
}

// commits yields the commits up to the cursor.
func (e *export) commits() iter.Seq2[ledger.CommitRow, error] {
	end := &e.snapshot.Position.Cursor
	return func(yield func(ledger.CommitRow, error) bool) {
		for c, err := range e.ledger.Commits(e.ctx, e.id) {
			if err == nil && (c.Generation > end.Generation || c.Generation == end.Generation && c.Sequence > end.Sequence) {
				return
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}
