//go:build unix

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
)

// Layout of a message in a block of nats-server 2.15's file store: its length,
// whose highest bit says that it has headers, its sequence, and the rest.
const (
	recordHead = 4 + 8
	hasHeaders = 1 << 31
)

// CutTail removes all messages after sequence keep from the sale's stream, while
// NATS is stopped, and returns how many there were: a disk has lost what it had
// acknowledged.
func (a *Cluster) CutTail(id sale.ID, keep uint64) (cut int) {
	a.t.Helper()
	dir := filepath.Join(a.streamDir(id), "msgs")
	// The index knows the end; without it the server reads the blocks.
	if err := os.Remove(filepath.Join(dir, "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "*.blk"))
	if err != nil || len(blocks) == 0 {
		a.t.Fatalf("blocks of the stream: %v %v", blocks, err)
	}
	sort.Slice(blocks, func(i, j int) bool { return blockNumber(blocks[i]) < blockNumber(blocks[j]) })
	for _, path := range blocks {
		n, err := cutBlock(path, keep)
		a.must(err)
		cut += n
	}
	if cut == 0 {
		a.t.Fatalf("no message after %d in the stream of sale %d", keep, id)
	}
	return cut
}

func (a *Cluster) streamDir(id sale.ID) string {
	return filepath.Join(a.NATS.Dir(), "jetstream", "$G", "streams", streamOf(id))
}

func blockNumber(path string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".blk")) // the server's own names
	return n
}

// cutBlock truncates a block after message keep. One that begins later is removed.
func cutBlock(path string, keep uint64) (cut int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	end := len(data)
	for at := 0; at+recordHead <= len(data); {
		length := int(binary.LittleEndian.Uint32(data[at:]) &^ hasHeaders)
		if length < recordHead || at+length > len(data) {
			return 0, fmt.Errorf("%s: no record at %d", path, at)
		}
		if binary.LittleEndian.Uint64(data[at+4:]) > keep {
			end = min(end, at)
			cut++
		}
		at += length
	}
	switch {
	case cut == 0:
		return 0, nil
	case end == 0:
		return cut, os.Remove(path)
	}
	return cut, os.Truncate(path, int64(end))
}

// Cursor waits until the sale's cursor no longer moves, and returns its sequence.
func (a *Cluster) Cursor(id sale.ID) uint64 {
	a.t.Helper()
	const still = 300 * time.Millisecond
	read := func() int64 { return a.Number(`SELECT sequence FROM cursors WHERE sale_id = $1`, id) }
	last, since := read(), time.Now()
	a.Eventually("the cursor no longer moves", func() bool {
		if now := read(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > still
	})
	return uint64(last)
}

// Last is the last sequence of the sale's stream, 0 while NATS does not say.
func (a *Cluster) Last(id sale.ID) uint64 {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), queryTime)
	defer cancel()
	s, err := a.JetStream().Stream(ctx, streamOf(id))
	if err != nil {
		return 0
	}
	return s.CachedInfo().State.LastSeq
}

func streamOf(id sale.ID) string { return "SALE_" + id.String() }

// connect is the test's own connection to NATS, past pkg/stream.
func (a *Cluster) connect() *nats.Conn {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.nc == nil {
		nc, err := nats.Connect(a.NATSURL, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.RetryOnFailedConnect(true))
		a.must(err)
		a.t.Cleanup(nc.Close)
		a.nc = nc
	}
	return a.nc
}

// JetStream is the test's own view of the streams.
func (a *Cluster) JetStream() jetstream.JetStream {
	a.t.Helper()
	js, err := jetstream.New(a.connect())
	a.must(err)
	return js
}

// Consumers is how many consumers NATS keeps.
func (a *Cluster) Consumers() int {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), queryTime)
	defer cancel()
	info, err := a.JetStream().AccountInfo(ctx)
	if err != nil {
		return 0
	}
	return info.Consumers
}

// Publish stores a message in the sale's stream that no edge would send.
func (a *Cluster) Publish(id sale.ID, data []byte) uint64 {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	ack, err := a.JetStream().Publish(ctx, "purchases."+id.String(), data)
	a.must(err)
	return ack.Sequence
}

// Backup is a stream as an operator saves it.
type Backup struct {
	config, state json.RawMessage
	chunks        [][]byte
}

// BackUp saves the sale's stream, as `nats stream backup` does.
func (a *Cluster) BackUp(id sale.ID) *Backup {
	a.t.Helper()
	nc, inbox := a.connect(), nats.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	a.must(err)
	defer func() { _ = sub.Unsubscribe() }()
	var head struct {
		Config json.RawMessage `json:"config"`
		State  json.RawMessage `json:"state"`
		Error  any             `json:"error"`
	}
	a.ask("$JS.API.STREAM.SNAPSHOT."+streamOf(id), map[string]any{"deliver_subject": inbox, "no_consumers": true}, &head)
	if head.Error != nil {
		a.t.Fatalf("backup: %v", head.Error)
	}
	b := &Backup{config: head.Config, state: head.State}
	for {
		m, err := sub.NextMsg(Patience)
		if err != nil {
			a.t.Fatalf("backup: %v", err)
		}
		if len(m.Data) == 0 {
			return b
		}
		b.chunks = append(b.chunks, m.Data)
		if m.Reply != "" {
			_ = m.Respond(nil)
		}
	}
}

// OldBackUp is BackUp as servers before 2.15 make it: the files of the stream.
// Put back, such a stream keeps its creation time. NATS is stopped for it.
func (a *Cluster) OldBackUp(id sale.ID) *Backup {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	s, err := a.JetStream().Stream(ctx, streamOf(id))
	a.must(err)
	config, err := json.Marshal(s.CachedInfo().Config)
	a.must(err)
	a.StopNATS()
	files, err := archive(a.streamDir(id))
	a.must(err)
	a.StartNATS()
	return &Backup{config: config, state: json.RawMessage("{}"), chunks: slices.Collect(slices.Chunk(files, chunkSize))}
}

// chunkSize is what a backup is sent in; below the server's largest message.
const chunkSize = 64 << 10

// archive packs a stream's files as the old format has them: tar, compressed.
func archive(dir string) ([]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk"))
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	compressed := s2.NewWriter(&files)
	w := tar.NewWriter(compressed)
	for _, name := range append(names, filepath.Join(dir, "meta.inf"), filepath.Join(dir, "meta.sum")) {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Name: strings.TrimPrefix(name, dir+"/"), Mode: 0o600, Size: int64(len(data)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), compressed.Close())
	return files.Bytes(), err
}

// Restore deletes the sale's stream and puts the backup in its place, while
// everything runs.
func (a *Cluster) Restore(id sale.ID, b *Backup) {
	a.t.Helper()
	a.DeleteStream(id)
	a.PutBack(id, b)
}

// PutBack makes a stream that is not there from a backup.
func (a *Cluster) PutBack(id sale.ID, b *Backup) {
	a.t.Helper()
	var answer struct {
		Subject string `json:"deliver_subject"`
		Error   any    `json:"error"`
	}
	a.ask("$JS.API.STREAM.RESTORE."+streamOf(id), map[string]any{"config": b.config, "state": b.state}, &answer)
	if answer.Error != nil {
		a.t.Fatalf("restore: %v", answer.Error)
	}
	for _, chunk := range append(b.chunks, nil) {
		m, err := a.connect().Request(answer.Subject, chunk, Patience)
		if err != nil || strings.Contains(string(m.Data), `"error"`) {
			a.t.Fatalf("restore: %v %s", err, m.Data)
		}
	}
}

// DeleteStream deletes the sale's stream.
func (a *Cluster) DeleteStream(id sale.ID) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	a.must(a.JetStream().DeleteStream(ctx, streamOf(id)))
}

func (a *Cluster) ask(subject string, request, answer any) {
	a.t.Helper()
	text, err := json.Marshal(request)
	a.must(err)
	m, err := a.connect().Request(subject, text, Patience)
	if err == nil {
		err = json.Unmarshal(m.Data, answer)
	}
	if err != nil {
		a.t.Fatalf("%s: %v", subject, err)
	}
}
