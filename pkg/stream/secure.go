package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Files hold what proves the server's and the client's identity, beside the URL;
// empty ones are not used. Each connection reads them again, so that renewed ones
// take effect; only NKey is read once.
type Files struct {
	CA        string // certificates of the authorities that sign the servers', PEM; empty: the system's
	Cert, Key string // this client's certificate and its key, PEM
	Creds     string // credentials of a user: a JWT and its key
	NKey      string // seed of a user's key
}

// options checks the files and returns the options that use them. An error names the
// setting.
func (f Files) options() (options []nats.Option, err error) {
	switch {
	case (f.Cert == "") != (f.Key == ""):
		return nil, errors.New("--nats-cert and --nats-key: give both, or none")
	case f.Creds != "" && f.NKey != "":
		return nil, errors.New("--nats-creds and --nats-nkey: give one of them")
	}
	if f.CA != "" {
		if _, err := f.authorities(); err != nil {
			return nil, err
		}
		options = append(options, nats.RootCAs(f.CA))
	}
	if f.Cert != "" {
		if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return nil, fmt.Errorf("--nats-cert %s, --nats-key %s: want a certificate and its key, PEM: %w", f.Cert, f.Key, err)
		}
		options = append(options, nats.ClientCert(f.Cert, f.Key))
	}
	if f.Creds != "" {
		if err := checkCreds(f.Creds); err != nil {
			return nil, fmt.Errorf("--nats-creds %s: want credentials, as `nsc generate creds` makes them: %w", f.Creds, err)
		}
		options = append(options, nats.UserCredentials(f.Creds))
	}
	if f.NKey != "" {
		option, err := nats.NkeyOptionFromSeed(f.NKey)
		if err != nil {
			return nil, fmt.Errorf("--nats-nkey %s: want the seed of a user, as `nk -gen user` makes it: %w", f.NKey, err)
		}
		options = append(options, option)
	}
	return options, nil
}

// authorities reads CA; nil if there is none.
func (f Files) authorities() (*x509.CertPool, error) {
	if f.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("--nats-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--nats-ca %s: want certificates, PEM, and there are none", f.CA)
	}
	return pool, nil
}

func checkCreds(file string) error {
	text, err := os.ReadFile(file)
	if err == nil {
		_, err = nkeys.ParseDecoratedUserNKey(text)
	}
	return err
}
