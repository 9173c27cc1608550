package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"notsale/pkg/code"
)

// readKeys reads the key file of an edge.
func readKeys(path string) (*code.Keyring, error) {
	if path == "" {
		return nil, errors.New("--code-keys is not set: all edges need the same key file (`notsale up` makes one in its data folder)")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--code-keys: %w", err)
	}
	keys, err := code.ParseKeyring(text)
	if err != nil {
		return nil, fmt.Errorf("--code-keys %s: %w", path, err)
	}
	return keys, nil
}

// ensureKeys is readKeys, after making the file if it does not exist.
func ensureKeys(path string) (*code.Keyring, error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return readKeys(path)
	}
	secret := make([]byte, code.MinSecret)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("drawing a key: %w", err)
	}
	text, err := code.FormatKeys([]code.Key{{ID: 1, Secret: secret}})
	if err != nil {
		return nil, fmt.Errorf("code keys: %w", err)
	}
	// Written beside and renamed, so that a crash leaves no half a file.
	if err := writeDurably(path, append(text, '\n')); err != nil {
		return nil, fmt.Errorf("code keys: %w", err)
	}
	return readKeys(path)
}

func writeDurably(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
