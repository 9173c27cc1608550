package stream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ErrNotDurable says that NATS may lose what it has acknowledged.
var ErrNotDurable = errors.New("stream: NATS does not keep what it acknowledges")

// ErrUnverified says that some servers did not answer, while others did.
var ErrUnverified = errors.New("stream: not every NATS server could be asked whether it syncs every write before it acknowledges it")

// ErrMonitorURL says that a monitoring URL is not valid.
var ErrMonitorURL = errors.New("want http://host:port of each server, joined by commas")

const (
	monitorTimeout = 5 * time.Second
	monitorBody    = 1 << 20 // bytes; the rest of an answer is not read
)

// jsz is the answer of a server's monitoring listener to /jsz.
type jsz struct {
	ID       string `json:"server_id"`
	Disabled bool   `json:"disabled"`
	Config   struct {
		MaxStore   int64  `json:"max_storage"`
		StoreDir   string `json:"store_dir"`
		SyncAlways bool   `json:"sync_always"`
	} `json:"config"`
}

// Verify asks the monitoring listeners of NATS's servers, several URLs joined by
// commas, whether each server stores in files and syncs every write before it
// acknowledges it. ErrNotDurable: one does not, or this client is connected to a
// server that is not among them. ErrUnverified: some did not answer, but the server
// of this client's connection did. ErrMonitorURL: a URL is not valid. Another error:
// the server of this client's connection did not answer.
func (c *Client) Verify(ctx context.Context, monitors string) error {
	authorities, err := c.cfg.Files.authorities()
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
	}}
	var ids []string
	var silent []error
	for monitor := range strings.SplitSeq(monitors, ",") {
		server, err := askMonitor(ctx, client, strings.TrimSpace(monitor))
		switch {
		case errors.Is(err, ErrMonitorURL):
			return fmt.Errorf("stream: --nats-monitor: %w", err)
		case err != nil:
			silent = append(silent, fmt.Errorf("stream: --nats-monitor: %w", err))
			continue
		case server.Disabled:
			return fmt.Errorf("%w: %s has no JetStream", ErrNotDurable, monitor)
		case server.Config.MaxStore <= 0 || server.Config.StoreDir == "":
			return fmt.Errorf("%w: JetStream of %s has no file storage: set store_dir and max_file_store", ErrNotDurable, monitor)
		case !server.Config.SyncAlways:
			return fmt.Errorf("%w: %s would lose acknowledged requests in a power cut: set jetstream { sync_interval: always }", ErrNotDurable, monitor)
		}
		ids = append(ids, server.ID)
	}
	id := c.nc.ConnectedServerId()
	known := id == "" || slices.Contains(ids, id)
	switch {
	case len(ids) == 0 || !known && len(silent) > 0:
		return errors.Join(silent...)
	case len(silent) > 0:
		return fmt.Errorf("%w: %w", ErrUnverified, errors.Join(silent...))
	case !known:
		return fmt.Errorf("%w: NATS_URL leads to server %s, whose URL is not in --nats-monitor", ErrNotDurable, id)
	}
	return nil
}

func askMonitor(ctx context.Context, client *http.Client, monitor string) (server jsz, err error) {
	u, err := url.Parse(monitor)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return jsz{}, ErrMonitorURL
	}
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("jsz").String(), http.NoBody)
	if err != nil {
		return jsz{}, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return jsz{}, err
	}
	defer func() { _ = answer.Body.Close() }() // read only
	if answer.StatusCode != http.StatusOK {
		return jsz{}, fmt.Errorf("%s answers %s", u.Host, answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, monitorBody)).Decode(&server); err != nil {
		return jsz{}, fmt.Errorf("%s: %w", u.Host, err)
	}
	return server, nil
}
