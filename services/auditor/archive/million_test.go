//go:build unix

package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
)

// What a sale of the promised size is to take to be read, in a process that does
// nothing else.
const (
	millionTime   = 10 * time.Second
	millionMemory = 300 << 20 // bytes
)

// jobVariable in the environment makes the test binary do one job with the
// archive in fileVariable.
const (
	jobVariable  = "NOTSALE_ARCHIVE_JOB"
	fileVariable = "NOTSALE_ARCHIVE_FILE"
)

// The sale is made in a process of its own, too: a child's memory counts from
// that of its parent on.
var jobs = map[string]func(ctx context.Context, a *Archive) error{
	"verify": func(ctx context.Context, a *Archive) error { return a.Verify(ctx, nil) },
	"audit": func(ctx context.Context, a *Archive) error {
		r, err := auditor.Audit(ctx, a, a, a.manifest.Number, auditor.Options{})
		if err == nil && (!r.Clean() || r.Requests != int64(million) || r.Attempts != int64(million)) {
			return fmt.Errorf("report %+v", r)
		}
		return err
	},
	"export": func(ctx context.Context, a *Archive) error {
		h := sha256.New()
		if _, err := Write(ctx, h, a, a, a.manifest.Number, nil); err != nil {
			return err
		}
		file := sha256.New()
		if _, err := io.Copy(file, io.NewSectionReader(a.file, 0, a.size)); err != nil {
			return err
		}
		if !bytes.Equal(h.Sum(nil), file.Sum(nil)) {
			return errors.New("the export of an archive has other bytes")
		}
		return nil
	},
}

// runJob does what the environment asks for.
func runJob(name string) {
	path := os.Getenv(fileVariable)
	if name == "write" {
		writeMillion(path)
	}
	a, err := Open(path)
	if err == nil {
		err = jobs[name](context.Background(), a)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// million is how many requests, and how many attempts, the large sale has: a
// million in the long form.
var million = effort.Of(20_000, 1_000_000)

func TestAMillionRequests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "million.tar")
	for _, job := range []string{"write", "verify", "audit", "export"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), jobVariable+"="+job, fileVariable+"="+path)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", job, err, out)
		}
		took := time.Since(began)
		memory := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
		if runtime.GOOS == "linux" { // which counts kilobytes
			memory <<= 10
		}
		if t.Logf("%s: %s", job, out); job == "write" {
			continue
		}
		what := fmt.Sprintf("%s of an archive of %d requests and as many attempts", job, million)
		effort.Figure(t, what, took, millionTime)
		effort.Figure(t, what+", memory", fmt.Sprintf("%d MiB", memory>>20), fmt.Sprintf("%d MiB", millionMemory>>20))
		if memory > 2*millionMemory && !raceEnabled {
			t.Errorf("%s: %d MiB, goal %d MiB", job, memory>>20, millionMemory>>20)
		}
	}
}

// writeMillion writes the archive, says how long that took, and ends the
// process.
func writeMillion(path string) {
	s := newSynthetic(million, 250)
	began := time.Now()
	m, err := Create(context.Background(), path, s, s, s.of.ID, nil)
	took := time.Since(began)
	info, errStat := os.Stat(path)
	if err := errors.Join(err, errStat); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	plain := int64(0)
	for _, one := range m.Members {
		plain += one.Plain
	}
	fmt.Printf("(%v without making it up; %d MiB of %d MiB in %d members)\n", took.Round(time.Millisecond), info.Size()>>20, plain>>20, len(m.Members))
	os.Exit(0)
}

// synthetic is a sale that nobody held: what an engine decides on made-up
// requests, too many of them for a test's database.
type synthetic struct {
	of                    sale.Sale
	snapshot              ledger.Snapshot
	decisions             []allocation.Decision
	commits               []ledger.CommitRow
	attempts              []ledger.RecordedAttempt // by id
	messages, attemptText []stream.Message
}

const syntheticTime = sale.Instant(1_700_000_000_000_000)

func newSynthetic(requests, perPack int) *synthetic {
	s := &synthetic{of: sale.Sale{
		Installation: sale.UUID{1}, UUID: sale.UUID{2}, ID: 7, OpensAt: syntheticTime.Time(), Stock: effort.Of(1000, 10_000), UserLimit: 10, FirstItem: 1, Seed: 3, Rules: sale.RulesVersion,
	}}
	opening := stream.Message{Sequence: 1, Time: syntheticTime, Data: wire.EncodeOpening(s.of)}
	s.messages = []stream.Message{opening}
	engine := allocation.New(s.of, opening.Hash(), opening.Time)
	for n := 0; n < requests; n += perPack {
		s.pack(engine, n, perPack)
	}
	c := engine.Cursor()
	s.snapshot.Sale = ledger.SaleRow{Sale: s.of, State: sale.SoldOut, Sold: c.Sold}
	s.snapshot.Position = ledger.Position{Cursor: c, Epoch: 1, StreamCreated: syntheticTime.Time()}
	slices.SortFunc(s.attempts, func(x, y ledger.RecordedAttempt) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	slices.SortFunc(s.snapshot.Items, func(x, y ledger.ItemRow) int { return int(x.Item - y.Item) })
	return s
}

// pack makes the requests from n on, with the attempts that led to them.
func (s *synthetic) pack(engine *allocation.Engine, n, size int) {
	at := syntheticTime + sale.Instant(n)*10
	requests, attempts := make([]allocation.Request, size), make([]wire.Attempt, size)
	for i := range size {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n+i)))
		id, random := code.ID(sum[:16]), binary.BigEndian.Uint64(sum[16:])
		user := fmt.Sprintf("user-%d", random%100_000)
		item := s.of.FirstItem + sale.ItemID(random>>32%uint64(s.of.Stock))
		requests[i] = allocation.Request{Number: uint64(n + i), Code: id, Item: item, User: sale.UserID(user), Expires: at + 1e9}
		attempts[i] = wire.Attempt{ID: sale.UUID(sum[8:24]), At: at, Sale: s.of.ID, User: user, Item: item.String(), Outcome: wire.Issued, Code: id, Expires: at + 1e9}
		s.attempts = append(s.attempts, ledger.RecordedAttempt{Attempt: attempts[i], Edge: "edge"})
	}
	s.attemptText = append(s.attemptText, stream.Message{Sequence: uint64(len(s.attemptText) + 1), Time: at, Data: wire.AppendAttempts(nil, "edge", attempts)})
	m := stream.Message{Sequence: uint64(len(s.messages) + 1), Time: at, Data: wire.AppendPack(nil, "edge", requests)}
	s.messages = append(s.messages, m)
	b := engine.Begin()
	engine.Apply(allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Edge: "edge", Requests: requests}, b)
	s.decisions = append(s.decisions, b.Decisions...)
	mark := binary.BigEndian.AppendUint64(nil, uint64(b.Packs[0].Time))
	mark = append(mark, b.Packs[0].Hash[:16]...)
	s.commits = append(s.commits, ledger.CommitRow{Generation: 1, Sequence: m.Sequence, Position: b.After.Position, Chain: b.After.Chain[:], Packs: mark, Epoch: 1, At: at.Time()})
	for _, d := range b.Decisions {
		if d.Reason == allocation.Granted {
			s.snapshot.Items = append(s.snapshot.Items, ledger.ItemRow{Item: d.Item, Sale: s.of.ID, User: d.User, Code: d.Code, Position: d.Position, SoldAt: d.At})
		}
	}
}

func all[T any](records []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for i := range records {
			if !yield(records[i], nil) {
				return
			}
		}
	}
}

func (s *synthetic) Snapshot(context.Context, sale.ID) (ledger.Snapshot, error) {
	return s.snapshot, nil
}

func (s *synthetic) Decisions(_ context.Context, _ sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error] {
	return all(s.decisions[after:upTo]) // each position has one
}

func (s *synthetic) Commits(context.Context, sale.ID) iter.Seq2[ledger.CommitRow, error] {
	return all(s.commits)
}

func (s *synthetic) Attempts(context.Context, sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return all(s.attempts)
}

func (s *synthetic) Opening(context.Context, sale.ID) (stream.Opening, error) {
	return stream.Opening{Sale: s.of, Message: s.messages[0], Created: syntheticTime.Time()}, nil
}

func (s *synthetic) Messages(_ context.Context, _ sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return all(s.messages[first-1 : min(last, uint64(len(s.messages)))])
}

func (s *synthetic) AttemptMessages(context.Context, sale.ID, uint64, uint64) iter.Seq2[stream.Message, error] {
	return all(s.attemptText)
}

func (s *synthetic) LastAttempt(context.Context, sale.ID) (uint64, error) {
	return uint64(len(s.attemptText)), nil
}

func (s *synthetic) Recorded(context.Context, sale.ID) (ledger.Recorded, error) {
	return ledger.Recorded{Own: uint64(len(s.attemptText))}, nil
}
