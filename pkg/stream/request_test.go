package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// When a limit of the account in NATS does not allow a request, the error and Trouble
// name the limit and say what to do.
func TestLimitsOfTheAccountAreNamed(t *testing.T) {
	t.Parallel()
	account := func(jetstream string) string {
		return "accounts { A { users: [ { user: edge, password: secret } ], " + jetstream + " } }"
	}
	sales := func(c *stream.Client) error {
		_, err := createSale(t.Context(), c, testSale(1))
		return err
	}
	directory := func(c *stream.Client) error {
		_, err := c.MakeDirectory(t.Context())
		return err
	}
	for name, limited := range map[string]struct {
		settings string
		try      func(c *stream.Client) error
		is       error
		says     string
	}{
		"no JetStream in NATS":        {account("") + "\njetstream: disabled", sales, stream.ErrLimit, "enable jetstream"},
		"no JetStream in the account": {account(""), sales, stream.ErrLimit, "enable jetstream"},
		"streams":                     {account("jetstream: { max_streams: 1 }"), sales, stream.ErrLimit, "max_streams"},
		"consumers":                   {account("jetstream: { max_consumers: 1 }"), twoWatches(t), stream.ErrLimit, "max_consumers"},
		"space":                       {account("jetstream: { max_file: 1MB }"), sales, stream.ErrNoRoom, "no room"},
		"size of a stream":            {account("jetstream: { disk_max_stream_bytes: 1kB }"), sales, stream.ErrLimit, "disk_max_stream_bytes"},
		"streams without a size":      {account("jetstream: { max_bytes_required: true }"), directory, stream.ErrLimit, "max_bytes_required: false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, config(backendstest.Configure(t, limited.settings).URL("edge:secret@")))
			if err := limited.try(c); !errors.Is(err, limited.is) || !strings.Contains(err.Error(), limited.says) {
				t.Errorf("%v, want that it is for %q", err, limited.says)
			}
			if err := c.Trouble(); errors.Is(limited.is, stream.ErrLimit) && (err == nil || !strings.Contains(err.Error(), limited.says)) {
				t.Errorf("trouble: %v, want that it is for %q", err, limited.says)
			}
			if err := c.Unusable(); err != nil {
				t.Errorf("what can be sold cannot be: %v", err)
			}
		})
	}
}

// twoWatches watches the directory twice, and returns why the second one ends.
func twoWatches(t *testing.T) func(*stream.Client) error {
	return func(c *stream.Client) error {
		d, err := c.MakeDirectory(t.Context())
		if err != nil {
			return err
		}
		ctx, stop := context.WithCancel(t.Context())
		watched, ended := make(chan error), make(chan struct{})
		go func() {
			defer close(ended)
			_ = d.Watch(ctx, func(wire.Entry) {}, func() { watched <- nil })
		}()
		<-watched
		defer func() { stop(); <-ended }()
		return d.Watch(brief(t), func(wire.Entry) {}, func() {})
	}
}

// A request that NATS forbids fails at once, and Trouble reports it as long as it does.
func TestADeniedRequest(t *testing.T) {
	t.Parallel()
	for api, try := range map[string]func(ctx context.Context, c *stream.Client) error{
		"INFO": func(ctx context.Context, c *stream.Client) error { return c.Ping(ctx) },
		"STREAM.INFO.SALE_1": func(ctx context.Context, c *stream.Client) error {
			_, err := c.Info(ctx, 1)
			return err
		},
		"STREAM.MSG.GET.SALE_1": func(ctx context.Context, c *stream.Client) error {
			_, err := c.Message(ctx, 1, 1)
			return err
		},
		"STREAM.NAMES": func(ctx context.Context, c *stream.Client) error {
			_, err := c.Sales(ctx)
			return err
		},
		"STREAM.LIST": func(ctx context.Context, c *stream.Client) error {
			_, err := c.Sizes(ctx)
			return err
		},
		"STREAM.CREATE.CHECKOUTS_0": func(ctx context.Context, c *stream.Client) error { return c.CreateUnsold(ctx, 0) },
		"STREAM.UPDATE.SALE_1": func(ctx context.Context, c *stream.Client) error {
			s, err := c.Size(ctx, "SALE_1")
			return errors.Join(err, c.Resize(ctx, s, 2<<20))
		},
		"CONSUMER.CREATE.SALE_1.>":   readOne,
		"CONSUMER.MSG.NEXT.SALE_1.>": readOne,
		"CONSUMER.CREATE.KV_SALES.>": func(ctx context.Context, c *stream.Client) error {
			d, err := c.MakeDirectory(ctx)
			if err != nil {
				return err
			}
			_, err = d.Entries(ctx)
			return err
		},
	} {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			g := backendstest.NewGuarded(t, "")
			c := connect(t, config(g.URL("edge")))
			open(t, c)
			g.Reload(fmt.Sprintf(`publish: { deny: ["$JS.API.%s"] }`, api))
			eventually(t, "it is denied", func() error {
				if err := try(t.Context(), c); !errors.Is(err, stream.ErrDenied) {
					return fmt.Errorf("want ErrDenied: %w", errors.Join(err, errors.New("not denied")))
				}
				return nil
			})
			stem := strings.TrimSuffix(api, ">")
			if err := c.Trouble(); !errors.Is(err, stream.ErrDenied) || !strings.Contains(err.Error(), stem) {
				t.Errorf("trouble: %v, want that %s is forbidden", err, stem)
			}
			g.Reload("")
			eventually(t, "it is allowed again", func() error { return errors.Join(try(t.Context(), c), c.Trouble()) })
		})
	}
}

// readOne reads the first message of sale 1.
func readOne(ctx context.Context, c *stream.Client) error {
	r, err := c.Read(ctx, 1, 1)
	if err != nil {
		return err
	}
	defer r.Stop()
	if _, open := <-r.Messages(); !open {
		return r.Err()
	}
	return nil
}

// A client that names the JetStream domain uses the streams there, beyond a leaf node;
// the error of one that does not says what to do.
func TestADomain(t *testing.T) {
	t.Parallel()
	hub := backendstest.Configure(t, "server_name: hub\njetstream { store_dir: STORE, max_file_store: 1GB, domain: hub }\nleafnodes { listen: \"127.0.0.1:-1\" }")
	var at string
	eventually(t, "leaf nodes are taken", func() error {
		z, err := hub.Varz(nil)
		if err == nil && z.LeafNode.Port <= 0 {
			err = errors.New("no port")
		}
		if err == nil {
			at = fmt.Sprintf("nats-leaf://127.0.0.1:%d", z.LeafNode.Port)
		}
		return err
	})
	leaf := backendstest.Configure(t, "server_name: leaf\njetstream: disabled\nleafnodes { remotes: [ { url: \""+at+"\" } ] }")
	cfg := config(leaf.URL(""))
	cfg.Role = "edge"
	if _, err := createSale(t.Context(), connect(t, cfg), testSale(1)); !errors.Is(err, stream.ErrLimit) || !strings.Contains(err.Error(), "--nats-domain") {
		t.Errorf("without a domain: %v", err)
	}
	cfg.Domain = "hub"
	c := connect(t, cfg)
	eventually(t, "the sale is opened, once the leaf node has found its way", func() error {
		_, err := createSale(brief(t), c, testSale(1))
		return err
	})
	publish(t, c, "pack")
	if err := readOne(t.Context(), c); err != nil {
		t.Error(err)
	}
	d, err := c.MakeDirectory(t.Context())
	if err == nil {
		err = d.Claim(t.Context(), testSale(1).Installation)
	}
	if err == nil {
		err = d.Put(t.Context(), entry(1, sale.Open))
	}
	if err != nil {
		t.Fatal(err)
	}
	if list, err := d.Entries(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}
