package rejection_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/rejection"
)

// papers are the files of an authority, and of a server and a client that it
// knows.
type papers struct{ ca, cert, key string }

func newPapers(t *testing.T) papers {
	t.Helper()
	dir := t.TempDir()
	p := papers{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	one := *authority
	one.Subject, one.SerialNumber, one.IsCA, one.KeyUsage = pkix.Name{CommonName: "one"}, big.NewInt(2), false, x509.KeyUsageDigitalSignature
	one.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	one.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	own, errOwn := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err, errOwn); err != nil {
		t.Fatal(err)
	}
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, &signer.PublicKey, signer)
	cert, errCert := x509.CreateCertificate(rand.Reader, &one, authority, &own.PublicKey, signer)
	key, errKey := x509.MarshalECPrivateKey(own)
	if err := errors.Join(err, errCert, errKey); err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		p.ca: {Type: "CERTIFICATE", Bytes: ca}, p.cert: {Type: "CERTIFICATE", Bytes: cert}, p.key: {Type: "EC PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// options are those of a redis-server that speaks TLS only, and only with clients
// that the authority knows.
func (p papers) options() []string {
	return []string{
		"--port", "0", "--tls-port", "PORT", "--tls-replication", "yes",
		"--tls-ca-cert-file", p.ca, "--tls-cert-file", p.cert, "--tls-key-file", p.key,
	}
}

// over opens a store whose cache a test only uses, with the patience of one that
// shares its machine.
func over(t *testing.T, cfg rejection.Config) *store {
	t.Helper()
	cfg.URL = patiently(cfg.URL)
	cache, err := rejection.Open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	return &store{cache: cache}
}

func TestRedisOverTLS(t *testing.T) {
	t.Parallel()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	p, foreign := newPapers(t), newPapers(t)
	address := backendstest.RunRedis(t, append(p.options(), "--requirepass", "S3cret")...).Address
	url := "rediss://:S3cret@" + address
	s := over(t, rejection.Config{URL: url, CA: p.ca, Cert: p.cert, Key: p.key})
	s.learn(t, ours, allocation.Facts{Owners: owner(other)})
	if got := s.ask(t, purchase); got[0] != taken {
		t.Errorf("%v", got)
	}
	for name, c := range map[string]struct {
		cfg  rejection.Config
		want string
	}{
		"the system's authorities": {rejection.Config{URL: url}, "certificate"},
		"another authority":        {rejection.Config{URL: url, CA: foreign.ca, Cert: p.cert, Key: p.key}, "certificate"},
		"no certificate":           {rejection.Config{URL: url, CA: p.ca}, "certificate"},
		"another's certificate":    {rejection.Config{URL: url, CA: p.ca, Cert: foreign.cert, Key: foreign.key}, "tls"},
		"another name":             {rejection.Config{URL: strings.Replace(url, "127.0.0.1", "localhost", 1), CA: p.ca, Cert: p.cert, Key: p.key}, "certificate"},
	} {
		one := over(t, c.cfg)
		retry(t, name, func() error {
			err := one.cache.Probe(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				return errors.Join(err, errors.New("want an error that speaks of "+c.want))
			}
			return nil
		})
	}
}

// Sentinels say where the master is, also when it is another.
func TestRedisBySentinels(t *testing.T) {
	t.Parallel()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	p := newPapers(t)
	for name, c := range map[string]struct {
		scheme  string
		options []string
		cfg     rejection.Config
	}{
		"plain": {scheme: "redis"},
		"TLS":   {"rediss", p.options(), rejection.Config{CA: p.ca, Cert: p.cert, Key: p.key}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := append([]string{"--requirepass", "S3cret", "--masterauth", "S3cret"}, c.options...)
			master := backendstest.RunRedis(t, options...)
			replica := backendstest.RunRedis(t, append(options, "--replicaof", "127.0.0.1 "+master.Port)...)
			file := filepath.Join(t.TempDir(), "sentinel.conf")
			// A sentinel asks a master once in 10 s which replicas it has, and one that
			// finds none to take its place tries again after twice its failover-timeout.
			text := fmt.Sprintf("sentinel monitor main 127.0.0.1 %s 1\nsentinel known-replica main 127.0.0.1 %s\nsentinel auth-pass main S3cret\n"+
				"sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\nrequirepass sentinels\n", master.Port, replica.Port)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			sentinel := backendstest.RunRedis(t, append([]string{file, "--sentinel"}, c.options...)...)
			cfg := c.cfg
			cfg.URL = c.scheme + "+sentinel://:S3cret@localhost:1," + sentinel.Address + "/main/0?sentinel_password=sentinels"
			s := over(t, cfg)
			s.learn(t, ours, allocation.Facts{Owners: owner(other)})
			if got := s.ask(t, purchase); got[0] != taken {
				t.Errorf("%v", got)
			}
			direct := c.cfg
			direct.URL = c.scheme + "://:S3cret@" + replica.Address
			second := over(t, direct)
			retry(t, "the replica has it", func() error {
				if got := second.ask(t, purchase); got[0] != taken {
					return fmt.Errorf("%v", got)
				}
				return nil
			})
			master.Kill()
			s.learn(t, ours, allocation.Facts{Owners: owner(mine)}) // until the other is the master
			if got := second.ask(t, purchase); got[0] != granted {
				t.Errorf("what was learnt later is not at the new master: %v", got)
			}
		})
	}
}

func TestConfigsThatCannotWork(t *testing.T) {
	t.Parallel()
	p := newPapers(t)
	for _, c := range []struct {
		cfg  rejection.Config
		want string
	}{
		{rejection.Config{URL: "redis://:S3cret@one:1,two:2/0"}, "redis+sentinel://"},
		{rejection.Config{URL: "redis+sentinel://:S3cret@one:1,two:2/"}, "MASTER"},
		{rejection.Config{URL: "redis+sentinel://:S3cret@one:1,two:2"}, "MASTER"},
		{rejection.Config{URL: "redis+sentinel://:S3cret@/main/0"}, "host:port"},
		{rejection.Config{URL: "redis+sentinel://:S3cret@one,,two/main/0"}, "host:port"},
		{rejection.Config{URL: "redis+sentinel://:S3cret@one:x/main/0"}, "URL"},
		{rejection.Config{URL: "redis+sentinel://:S3cret@one,two:x/main/0"}, "host:port"},
		{rejection.Config{URL: "redis+sentinel://:S3cret@one/main/x"}, "database"},
		{rejection.Config{URL: "redis+sentinel://:S3cret@one/main/0?colour=red"}, "colour"},
		{rejection.Config{URL: "redis://:S3cret@one/x"}, "database"},
		{rejection.Config{URL: "redis://:S3cret%zz@one/0"}, "URL"},
		{rejection.Config{URL: "S3cret"}, "URL"},
		{rejection.Config{URL: "redis://:S3cret@one", CA: p.ca}, "rediss://"},
		{rejection.Config{URL: "rediss://:S3cret@one", CA: p.key}, "--redis-ca"},
		{rejection.Config{URL: "rediss://:S3cret@one", CA: "/nowhere"}, "--redis-ca"},
		{rejection.Config{URL: "rediss://:S3cret@one", Cert: p.cert}, "--redis-cert and --redis-key"},
		{rejection.Config{URL: "rediss://:S3cret@one", Cert: p.cert, Key: newPapers(t).key}, "--redis-cert and --redis-key"},
	} {
		err := c.cfg.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "REDIS_URL: ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "S3cret") {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.want)
		}
	}
	for _, good := range []rejection.Config{
		{URL: "redis://one"},
		{URL: "redis://u:p@[::1]:1/3?read_timeout=1s"},
		{URL: "unix://u:p@/tmp/redis.sock?db=1"},
		{URL: "redis+sentinel://one,two:1,[::1]:2,[::2]/main"},
		{URL: "rediss+sentinel://u:p%40@one:26379/main/2?sentinel_username=x&sentinel_password=y", CA: p.ca, Cert: p.cert, Key: p.key},
	} {
		if err := good.Validate(); err != nil {
			t.Errorf("%s: %v", good.URL, err)
		}
	}
}
