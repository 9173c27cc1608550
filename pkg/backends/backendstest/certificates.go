package backendstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA signs certificates for servers on this machine and their clients. Everything
// is gone when the test ends.
type CA struct {
	File    string // its own certificate, PEM
	Expired bool   // whether what it signs has expired already

	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority that nobody else trusts.
func NewCA(t testing.TB) *CA {
	t.Helper()
	c := &CA{t: t, File: filepath.Join(t.TempDir(), "ca.pem"), key: newKey(t)}
	c.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	c.cert = c.sign(c.cert, &c.key.PublicKey, c.File)
	return c
}

// Issue makes a certificate of this name, for localhost and 127.0.0.1, and its key,
// at these paths. It replaces what is there, as a renewal does.
func (c *CA) Issue(name, certFile, keyFile string) {
	c.t.Helper()
	key := newKey(c.t)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(keyFile, "EC PRIVATE KEY", der)
	c.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}, &key.PublicKey, certFile)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (c *CA) sign(cert *x509.Certificate, key *ecdsa.PublicKey, file string) *x509.Certificate {
	c.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		c.t.Fatal(err)
	}
	cert.SerialNumber, cert.NotBefore, cert.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if c.Expired {
		cert.NotAfter = time.Now().Add(-time.Minute)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, c.cert, key, c.key)
	if err == nil {
		cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(file, "CERTIFICATE", der)
	return cert
}

func (c *CA) write(file, kind string, der []byte) {
	c.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		c.t.Fatal(err)
	}
}
