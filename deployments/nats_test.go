//go:build unix

package deployments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/effort"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/servicetest"
)

// natsServer runs a server with nats.conf, and returns its address and the folder
// of secrets.
func natsServer(t *testing.T) (addr, secrets string) {
	t.Helper()
	secrets = makeSecrets(t)
	return runNATS(t, natsFolder(t, secrets), "nats.conf").Addr().String(), secrets
}

// natsFolder is a folder as a server's container has it.
func natsFolder(t *testing.T, secrets string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name := range readAll(t, filepath.Join(secrets, "nats")) {
		files[filepath.Join(secrets, "nats", name)] = filepath.Join("secrets", name)
	}
	for _, name := range []string{"nats.conf", "cluster.conf", "common.conf"} {
		files[filepath.Join("nats", name)] = name
	}
	for from, to := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("/etc/nats"), []byte(dir))
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// natsd is a server with a file of the deployment.
type natsd struct {
	*server.Server

	asShipped *server.Options // what the file says
	refused   *atomic.Int64   // how often it has told somebody that he may not
}

// runNATS runs a server with a file of the folder, on any port of this machine and
// a store of its own. What it says stands in the test's log.
func runNATS(t *testing.T, dir, file string, changes ...func(*server.Options)) natsd {
	t.Helper()
	opts, err := server.ProcessConfigFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	run := opts.Clone()
	run.Host, run.Port, run.HTTPPort, run.HTTPSPort = "127.0.0.1", server.RANDOM_PORT, 0, 0
	run.StoreDir, run.NoSigs = t.TempDir(), true
	for _, change := range changes {
		change(run)
	}
	srv, err := server.NewServer(run)
	if err != nil {
		t.Fatal(err)
	}
	n := natsd{srv, opts, &atomic.Int64{}}
	srv.SetLoggerV2(natsLog{t, n.refused}, false, false, false)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(effort.Patience) {
		t.Fatal("the server is not ready")
	}
	return n
}

// natsLog is a server's log.
type natsLog struct {
	t       testing.TB
	refused *atomic.Int64
}

func (l natsLog) Errorf(format string, v ...any) {
	if strings.Contains(fmt.Sprintf(format, v...), "Violation") {
		l.refused.Add(1)
	}
	l.t.Logf("NATS: "+format, v...)
}
func (l natsLog) Fatalf(format string, v ...any) { l.t.Errorf("NATS fails: "+format, v...) }
func (l natsLog) Warnf(format string, v ...any)  { l.t.Logf("NATS warns: "+format, v...) }
func (natsLog) Noticef(string, ...any)           {}
func (natsLog) Debugf(string, ...any)            {}
func (natsLog) Tracef(string, ...any)            {}

// at is a URL that secrets.sh made, with another address.
func at(url, addr string) string {
	user, _, _ := strings.Cut(url, "@")
	return user + "@" + addr
}

// connect comes in as a service, with the URL that secrets.sh made for it.
// Its errors, which the server tells afterwards, go to the channel.
func connect(t *testing.T, addr, secrets, user string) (*nats.Conn, jetstream.JetStream, chan error) {
	t.Helper()
	url, err := os.ReadFile(filepath.Join(secrets, user, "nats_url"))
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 10)
	nc, err := nats.Connect(at(string(url), addr),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err }))
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(effort.Patience))
	if err != nil {
		t.Fatal(err)
	}
	return nc, js, errs
}

func TestNATSIsDurable(t *testing.T) {
	t.Setenv("NATS_SERVER", "nats-2")
	plain := natsFolder(t, makeSecrets(t))
	t.Setenv("TLS", "on")
	ciphered := natsFolder(t, makeSecrets(t))
	for _, file := range []string{filepath.Join(plain, "nats.conf"), filepath.Join(plain, "cluster.conf"), filepath.Join(ciphered, "nats.conf"), filepath.Join(ciphered, "cluster.conf")} {
		opts, err := server.ProcessConfigFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !opts.JetStream || !opts.SyncAlways {
			t.Errorf("%s: JetStream %v, SyncAlways %v: an acknowledged request must survive power loss", file, opts.JetStream, opts.SyncAlways)
		}
		if opts.StoreDir != "/data" || opts.MaxPayload < 512<<10 || opts.Port != 4222 || opts.HTTPPort != 8222 {
			t.Errorf("%s: store %q, payload %d, ports %d, %d", file, opts.StoreDir, opts.MaxPayload, opts.Port, opts.HTTPPort)
		}
		tls, cluster := filepath.Dir(file) == ciphered, filepath.Base(file) == "cluster.conf"
		if (opts.TLSConfig != nil) != tls || (opts.Cluster.TLSConfig != nil) != (tls && cluster) || (opts.Cluster.Name != "") != cluster {
			t.Errorf("%s: TLS %v, cluster %q, TLS there %v", file, opts.TLSConfig, opts.Cluster.Name, opts.Cluster.TLSConfig)
		}
	}
}

// identities are the users of common.conf.
var identities = []string{"edge", "allocator", "recorder", "scheduler", "archiver", "auditor", "operator"}

// Each identity may do what its service does and, but for the operator, nothing
// that is another's.
func TestNATSHasOneIdentityPerService(t *testing.T) {
	const noOne = ""
	publishes := map[string]string{
		"purchases.1": "edge scheduler", "checkouts.1": "edge", "checkouts.0.2": "edge", "full.purchases.1": "edge",
		"replies.edge-1": "allocator", "$KV.SALES.1": "scheduler archiver",

		"$JS.API.STREAM.CREATE.X": "scheduler", "$JS.API.STREAM.UPDATE.SALE_1": "scheduler archiver", "$JS.API.STREAM.DELETE.SALE_1": "scheduler archiver",
		"$JS.API.STREAM.PURGE.SALE_1": noOne, "$JS.API.STREAM.MSG.DELETE.SALE_1": noOne,
		"$JS.API.STREAM.RESTORE.SALE_1": noOne, "$JS.API.STREAM.SNAPSHOT.SALE_1": noOne, "$JS.API.STREAM.LEADER.STEPDOWN.SALE_1": noOne,
		"$JS.API.META.LEADER.STEPDOWN": noOne, "$JS.API.SERVER.REMOVE": noOne, "$SYS.REQ.SERVER.PING": noOne,

		"$JS.API.INFO": "edge allocator recorder scheduler archiver auditor", "$JS.API.STREAM.INFO.SALE_1": "edge allocator recorder scheduler archiver auditor",
		"$JS.API.STREAM.MSG.GET.SALE_1":    "allocator recorder scheduler archiver auditor",
		"$JS.API.CONSUMER.CREATE.SALE_1.c": "allocator recorder archiver auditor", "$JS.API.CONSUMER.MSG.NEXT.SALE_1.c": "allocator recorder archiver auditor",
		"$JS.API.CONSUMER.CREATE.KV_SALES.c.$KV.SALES.>": "edge recorder scheduler",
		// Names of others' consumers cannot be found out, nor an answer be forged.
		"$JS.API.CONSUMER.NAMES.SALE_1": noOne, "$JS.API.CONSUMER.LIST.SALE_1": noOne, "$JS.ACK.SALE_1.c.1.1.1.1.1": noOne,
		"_INBOX.edge.x": noOne, "_INBOX.x": noOne,
	}
	subscribes := map[string]string{
		"replies.*": "edge", "full.>": "scheduler", "$KV.SALES.>": "allocator",
		"purchases.>": noOne, "checkouts.>": noOne, "_INBOX.>": noOne, ">": noOne, "$JS.API.>": noOne, "$JS.ACK.>": noOne, "$SYS.>": noOne,
	}
	for _, user := range identities[:len(identities)-1] {
		subscribes["_INBOX."+user+".>"] = user
	}
	addr, secrets := natsServer(t)
	if nc, err := nats.Connect("nats://" + addr); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("came in without a name: %v, %v", nc, err)
	}
	for _, user := range identities {
		nc, _, errs := connect(t, addr, secrets, user)
		owns := func(owners string) bool { return user == "operator" || slices.Contains(strings.Fields(owners), user) }
		for _, allowed := range []bool{true, false} { // denied ones last: the connection remembers
			for subject, owners := range publishes {
				if owns(owners) == allowed {
					check(t, user+" publishes on "+subject, allowed, told(nc, errs, nc.Publish(subject, []byte("x"))))
				}
			}
			for subject, owners := range subscribes {
				if owns(owners) == allowed {
					_, err := nc.SubscribeSync(subject)
					check(t, user+" subscribes to "+subject, allowed, told(nc, errs, err))
				}
			}
		}
	}
}

func check(t *testing.T, what string, allowed bool, err error) {
	t.Helper()
	if allowed && err != nil || !allowed && !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("%s: %v, want it allowed: %v", what, err, allowed)
	}
}

// told returns what the server had to say. It tells a violation before it
// answers the flush; the client hands it over by a goroutine of its own.
func told(nc *nats.Conn, errs chan error, err error) error {
	if err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	if nc.LastError() == nil {
		return nil
	}
	select {
	case err := <-errs:
		return err
	case <-time.After(effort.Patience):
		return nil // an earlier violation, none by this subject
	}
}

// With TLS a server speaks nothing else, and is known by who signed for it.
func TestNATSWithTLS(t *testing.T) {
	t.Setenv("TLS", "on")
	t.Setenv("NATS_SERVERS", "localhost")
	secrets := makeSecrets(t)
	addr := strings.Replace(runNATS(t, natsFolder(t, secrets), "nats.conf").Addr().String(), "127.0.0.1", "localhost", 1)
	trusting := func(cfg *stream.Config) { cfg.Files.CA = filepath.Join(secrets, "scheduler", "ca.pem") }
	if _, err := streamsAs(t, addr, secrets, "scheduler", trusting).MakeDirectory(t.Context()); err != nil {
		t.Error(err)
	}
	cfg := stream.DefaultConfig()
	cfg.URL = "nats://" + addr
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := stream.Connect(ctx, cfg, quiet(t)); err == nil || !strings.Contains(err.Error(), "--nats-ca") {
		t.Errorf("who knows nobody that signed: %v", err)
	}
}

// Three servers of cluster.conf know each other by the password of their routes,
// and keep a sale's streams three times.
func TestNATSCluster(t *testing.T) {
	const size = 3
	t.Setenv("NATS_SERVERS", "nats nats-2 nats-3")
	secrets := makeSecrets(t)
	dir := natsFolder(t, secrets)
	ports := freePorts(t, size)
	servers := make([]natsd, size)
	for i := range servers {
		t.Setenv("NATS_SERVER", fmt.Sprintf("nats-%d", i+1))
		servers[i] = runNATS(t, dir, "cluster.conf", func(run *server.Options) {
			run.Cluster.Host, run.Cluster.Port = "127.0.0.1", ports[i]
			for n, route := range run.Routes {
				run.Routes[n] = &url.URL{Scheme: route.Scheme, User: route.User, Host: fmt.Sprintf("127.0.0.1:%d", ports[n])}
			}
		})
		opts := servers[i].asShipped
		if len(opts.Routes) != size || opts.ServerName != fmt.Sprintf("nats-%d", i+1) || opts.Cluster.Password == "" {
			t.Errorf("routes %v of %q", opts.Routes, opts.ServerName)
		}
	}
	for _, user := range []string{"scheduler", "edge"} {
		var urls []string
		for _, s := range servers {
			urls = append(urls, s.Addr().String())
		}
		c := streamsAs(t, strings.Join(urls, ","), secrets, user, func(cfg *stream.Config) { cfg.Replicas = size })
		if user == "edge" {
			if err := c.PublishPack(t.Context(), 1, []byte("pack")); err != nil {
				t.Error(err)
			}
			continue
		}
		of := sale.Sale{ID: 1, UUID: sale.UUID{1}, Installation: sale.UUID{1}, Stock: 1, UserLimit: 1, FirstItem: 1, Rules: 1, OpensAt: time.Unix(0, 0).UTC()}
		for deadline := time.Now().Add(effort.Patience); ; time.Sleep(20 * time.Millisecond) { // they elect a leader first
			_, err := servicetest.CreateSale(t.Context(), c, of)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		if size, err := c.Size(t.Context(), "SALE_1"); err != nil || size.Replicas != 3 {
			t.Errorf("%+v, %v", size, err)
		}
	}
}

// freePorts finds ports that are free at this moment.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
