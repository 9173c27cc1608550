package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

const (
	directoryBucket = "SALES"
	directoryStream = "KV_" + directoryBucket // in which NATS keeps the bucket
)

// Directory is the bucket of sales, which edges and allocators watch. It is
// derived from the ledger and may be lost: a scheduler writes it again.
type Directory struct {
	kv     jetstream.KeyValue
	client *Client
}

// ErrNoDirectory says that no scheduler has made the directory of sales yet.
var ErrNoDirectory = errors.New("stream: there is no directory of sales yet, a scheduler makes it")

// Directory opens the directory of sales. ErrNoDirectory: it does not exist.
func (c *Client) Directory(ctx context.Context) (*Directory, error) {
	kv, err := ask(ctx, c, func(ctx context.Context) (jetstream.KeyValue, error) {
		return c.js.KeyValue(ctx, directoryBucket)
	}, c.api+"STREAM.INFO."+directoryStream)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, ErrNoDirectory
	}
	if err != nil {
		return nil, fmt.Errorf("stream: opening the directory of sales: %w", err)
	}
	return &Directory{kv: kv, client: c}, nil
}

// MakeDirectory opens the directory of sales, and makes it if it does not exist.
// It is for schedulers, which know how many replicas the directory must have.
func (c *Client) MakeDirectory(ctx context.Context) (*Directory, error) {
	d, err := c.Directory(ctx)
	if !errors.Is(err, ErrNoDirectory) {
		return d, err
	}
	kv, err := ask(ctx, c, func(ctx context.Context) (jetstream.KeyValue, error) {
		return c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: directoryBucket, History: 1, Storage: jetstream.FileStorage, Replicas: c.cfg.Replicas,
		})
	}, c.api+"STREAM.CREATE."+directoryStream)
	if errors.Is(err, jetstream.ErrBucketExists) { // another scheduler was faster
		return c.Directory(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("stream: making the directory of sales: %w", err)
	}
	return &Directory{kv: kv, client: c}, nil
}

// entrySubjects are the subjects of requests about entries of the directory.
func (c *Client) entrySubjects() []string {
	const entries = "$KV." + directoryBucket + "."
	return []string{entries, c.api + entries, c.api + "DIRECT.GET." + directoryStream + ".", c.api + "STREAM.INFO." + directoryStream}
}

// installationKey is the entry that says to which installation the streams belong.
const installationKey = "installation"

// Claim makes NATS's store the installation's, unless it belongs to another one:
// ErrForeign.
func (d *Directory) Claim(ctx context.Context, id sale.UUID) error {
	_, err := ask(ctx, d.client, func(ctx context.Context) (uint64, error) {
		return d.kv.Create(ctx, installationKey, []byte(id.String()))
	}, d.client.entrySubjects()...)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return d.Check(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("stream: claiming the directory of sales: %w", err)
	}
	return nil
}

// Check returns ErrForeign if NATS's store belongs to another installation.
func (d *Directory) Check(ctx context.Context, id sale.UUID) error {
	entry, err := ask(ctx, d.client, func(ctx context.Context) (jetstream.KeyValueEntry, error) {
		return d.kv.Get(ctx, installationKey)
	}, d.client.entrySubjects()...)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream: reading the installation id: %w", err)
	}
	if owner := string(entry.Value()); owner != id.String() {
		return fmt.Errorf("%w: NATS holds the streams of installation %s, the database belongs to installation %s: was the database emptied while NATS kept its data? Restore the database, or empty NATS and Redis too", ErrForeign, owner, id)
	}
	return nil
}

// Count returns how many sales the directory lists.
func (d *Directory) Count(ctx context.Context) (int, error) {
	status, err := ask(ctx, d.client, d.kv.Status, d.client.entrySubjects()...)
	if err != nil {
		return 0, fmt.Errorf("stream: reading the state of the directory of sales: %w", err)
	}
	return max(0, int(status.Values())-1), nil // one entry names the installation
}

// Entries returns all entries, by the sale's number, in a few round trips however
// many there are.
func (d *Directory) Entries(ctx context.Context) (map[sale.ID]wire.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	entries, complete := map[sale.ID]wire.Entry{}, false
	err := d.Watch(ctx, func(e wire.Entry) { entries[e.Sale.ID] = e }, func() {
		complete = true
		cancel()
	})
	if complete {
		return entries, nil
	}
	return nil, fmt.Errorf("stream: listing the directory of sales: %w", err)
}

// Put writes the entry of a sale, unless the directory has the same entry or one
// with a later state: a state only moves forward, even if two processes write at
// once.
func (d *Directory) Put(ctx context.Context, e wire.Entry) error {
	for {
		err := d.client.request(ctx, d.client.cfg.RequestTimeout, func(ctx context.Context) error {
			return d.put(ctx, e)
		}, d.client.entrySubjects()...)
		if err == nil {
			return nil
		}
		if !wrongLastSequence(err) {
			return fmt.Errorf("stream: writing sale %d into the directory: %w", e.Sale.ID, err)
		}
	}
}

// put writes the entry; it fails if another process writes it meanwhile.
func (d *Directory) put(ctx context.Context, e wire.Entry) error {
	key := e.Sale.ID.String()
	last, err := d.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		_, err = d.kv.Create(ctx, key, wire.EncodeEntry(e))
		return err
	}
	if err != nil {
		return err
	}
	if had, err := wire.DecodeEntry(last.Value()); err == nil && had.Sale == e.Sale && !e.State.After(had.State) {
		return nil
	}
	_, err = d.kv.Update(ctx, key, wire.EncodeEntry(e), last.Revision())
	return err
}

// Watch calls update for every entry, old ones first, then ready once, then
// update for each change, until the context ends or the watch fails. The caller
// opens a failed watch again. Entries that this version cannot read are skipped
// with a warning.
func (d *Directory) Watch(ctx context.Context, update func(wire.Entry), ready func()) error {
	// After a reconnect the library would resume the watch by itself, but only when
	// it misses a heartbeat, ten seconds later: so the watch ends with the session.
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.client.live(), cancel)()
	w, err := ask(ctx, d.client, func(asking context.Context) (jetstream.KeyWatcher, error) {
		defer context.AfterFunc(asking, cancel)() // the library takes one context for the request and the watch
		return d.kv.WatchAll(watching)
	}, d.client.api+"CONSUMER.CREATE."+directoryStream+".")
	if err != nil {
		return fmt.Errorf("stream: watching the directory of sales: %w", err)
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, open := <-w.Updates():
			switch {
			case !open && ctx.Err() != nil:
				return ctx.Err()
			case !open:
				return fmt.Errorf("%w: the watch of the directory ended", ErrUnavailable)
			case entry == nil:
				ready()
			case entry.Operation() == jetstream.KeyValuePut && entry.Key() != installationKey:
				d.read(entry, update)
			}
		}
	}
}

func (d *Directory) read(entry jetstream.KeyValueEntry, update func(wire.Entry)) {
	e, err := wire.DecodeEntry(entry.Value())
	if err == nil && entry.Key() != e.Sale.ID.String() {
		err = fmt.Errorf("%w: the key is not the sale's number", wire.ErrMessage)
	}
	if err != nil {
		d.client.log.Warn("unreadable entry in the directory of sales", "key", entry.Key(), "error", err)
		return
	}
	update(e)
}

// Changed calls handle for each entry that is written into the directory, one at
// a time, until stop is called. It may miss some, and the entry cannot be read yet
// when it is called; the ledger already has what the entry says. The handler must be
// quick.
func (c *Client) Changed(handle func()) (stop func(), err error) {
	return c.subscribe("$KV."+directoryBucket+".>", func(*nats.Msg) { handle() })
}

// subscribe hands messages of a subject to the handler, one at a time, until stop is
// called.
func (c *Client) subscribe(subject string, handle nats.MsgHandler) (stop func(), err error) {
	sub, err := c.nc.Subscribe(subject, handle)
	if err != nil {
		return nil, fmt.Errorf("stream: subscribing to %s: %w", subject, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
