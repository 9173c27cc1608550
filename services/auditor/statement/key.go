package statement

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"notsale/pkg/sale"
)

// KeyName is the name of an installation's key: notsale and the first 8 digits
// of its id. It is a label; the key itself tells keys of one name apart.
func KeyName(installation sale.UUID) string { return "notsale-" + installation.String()[:8] }

// maxKeyFile bounds what is read of a key file; a key with a name of 64
// characters has about 150.
const maxKeyFile = 4 << 10

// LoadOrCreateKey reads the key that signs statements, or makes the file (mode
// 0600) if there is none. Its public half, the verifier key, is beside it
// as path.pub and is written if it is missing and can be written: to sign, it
// is enough to read.
//
// It refuses, with an error that says what to do: a file that others may read
// or change, a key of another name, a .pub of another key, and to make a new
// key where only the .pub is left. Processes that start at the same time end
// up with the same key, and one of them has created it.
func LoadOrCreateKey(path, name string) (signer note.Signer, verifierKey string, created bool, err error) {
	// Looked for first: who makes a key at this moment writes it before its public half.
	_, noPublic := os.Stat(publicPath(path))
	k, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if noPublic == nil {
			return nil, "", false, fmt.Errorf("signing key %s is missing, but %s is there: restore the key from a backup; to make a new key, move the .pub away and keep it, statements signed so far need it",
				path, publicPath(path))
		}
		if created, err = createKey(path, name); err != nil {
			return nil, "", false, err
		}
		k, err = readKey(path)
	}
	if err != nil {
		return nil, "", false, err
	}
	if k.signer.Name() != name {
		return nil, "", false, fmt.Errorf("signing key %s has the name %q, want %q: it is another installation's; choose another file", path, k.signer.Name(), name)
	}
	if err := ensurePublic(path, k.verifierKey); err != nil {
		return nil, "", false, err
	}
	return k.signer, k.verifierKey, created, nil
}

func publicPath(path string) string { return path + ".pub" }

type key struct {
	signer      note.Signer
	verifierKey string
}

// readKey reads a key file. No error of it tells what is in the file.
func readKey(path string) (key, error) {
	f, err := os.Open(path)
	if err != nil {
		return key{}, fmt.Errorf("signing key: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return key{}, fmt.Errorf("signing key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return key{}, fmt.Errorf("signing key %s is not a file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return key{}, fmt.Errorf("signing key %s has mode %04o, others may read or change it: chmod 600 it; if others may have read it, move it and its .pub away to make a new one", path, perm)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return key{}, fmt.Errorf("signing key: %w", err)
	}
	k, err := parseKey(strings.TrimSpace(string(text)))
	if err != nil {
		return key{}, fmt.Errorf("%s holds no signing key: restore it from a backup, or move it and its .pub away to make a new one", path)
	}
	return k, nil
}

// parseKey reads PRIVATE+KEY+name+hash+base64(1, seed).
func parseKey(text string) (key, error) {
	signer, err := note.NewSigner(text)
	if err != nil {
		return key{}, err
	}
	fields := strings.SplitN(text, "+", 5) // five, or it would be no signer; base64 may hold more +
	private, err := base64.StdEncoding.DecodeString(fields[4])
	if err != nil {
		return key{}, err
	}
	public := ed25519.NewKeyFromSeed(private[1:])[ed25519.SeedSize:]
	verifierKey, err := note.NewEd25519VerifierKey(signer.Name(), ed25519.PublicKey(public))
	return key{signer, verifierKey}, err
}

// createKey makes a key file, unless another process makes one first.
func createKey(path, name string) (created bool, err error) {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '+' || r > '~' }) || name == "" {
		return false, fmt.Errorf("signing key: %q is no name for a key: want visible ASCII without +", name)
	}
	text, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return false, fmt.Errorf("drawing a signing key: %w", err)
	}
	err = writeNew(path, text+"\n", 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("there is no signing key %s, and none can be made there: %w: name one that is there, or a place where it can be made", path, err)
	}
	return true, nil
}

// ensurePublic sees to it that the key's public half is beside it.
func ensurePublic(path, verifierKey string) error {
	public := publicPath(path)
	if _, err := os.Stat(public); err != nil {
		if err := writeNew(public, verifierKey+"\n", 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil // it can be written from the key at any time
		}
	}
	text, err := os.ReadFile(public)
	if err != nil {
		return fmt.Errorf("verifier key: %w", err)
	}
	if strings.TrimSpace(string(text)) != verifierKey {
		return fmt.Errorf("%s is not the public half of %s: move away the one that does not belong there", public, path)
	}
	return nil
}

// writeNew makes a file whole or not at all, and never over another one: then
// the error is fs.ErrExist.
func writeNew(path, text string, mode fs.FileMode) error {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
