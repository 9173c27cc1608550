//go:build unix

package backends

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"
)

// repairMetas makes the checksums of streams and consumers anew that do not fit
// their settings. The server renames first the new settings into place, then
// their checksum; where it was killed between the two, or found no room for the
// second, its next start would pass over the stream, with all that it holds.
// Settings that were damaged otherwise, and can be read, are taken as they are: what
// the stream holds counts for more. Those that cannot be read, or say another name
// than their folder's, stay as they are, and the server says what it thinks of them.
func repairMetas(store string, log *slog.Logger) error {
	folder := os.DirFS(filepath.Join(store, server.JetStreamStoreDir))
	streams, _ := fs.Glob(folder, "*/streams/*/"+server.JetStreamMetaFile) // only a bad pattern fails
	consumers, _ := fs.Glob(folder, "*/streams/*/obs/*/"+server.JetStreamMetaFile)
	var errs []error
	repair := func(meta, key string, name func([]byte) (string, error)) {
		repaired, err := repairMeta(filepath.Join(store, server.JetStreamStoreDir, filepath.FromSlash(meta)), key, name)
		if repaired {
			log.Warn("the settings of a stream do not fit their checksum, which is made anew: the server was ended while it wrote them, or else they were damaged", "of", key)
		}
		errs = append(errs, err)
	}
	for _, meta := range streams {
		repair(meta, path.Base(path.Dir(meta)), streamName)
	}
	for _, meta := range consumers {
		of := path.Dir(meta)
		repair(meta, path.Base(path.Dir(path.Dir(of)))+"/"+path.Base(of), consumerName)
	}
	return errors.Join(errs...)
}

// repairMeta makes one checksum anew, unless it fits. The key is what the server
// keys it with, and the name ends it.
func repairMeta(meta, key string, name func([]byte) (string, error)) (repaired bool, err error) {
	text, err := os.ReadFile(meta)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read settings of a stream: %w", err)
	}
	sum, err := metaSum(text, key)
	if err != nil {
		return false, err
	}
	sumFile := filepath.Join(filepath.Dir(meta), server.JetStreamMetaFileSum)
	had, err := os.ReadFile(sumFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("read checksum of a stream's settings: %w", err)
	}
	if string(had) == sum {
		return false, nil
	}
	if says, err := name(text); err != nil || says != path.Base(key) {
		return false, nil //nolint:nilerr // the server tells of it
	}
	return true, writePrivate(sumFile, sum, nil)
}

// metaSum is the checksum as the server makes it (nats-server 2.15.2,
// server/filestore.go, writeStreamMeta and writeConsumerMeta).
func metaSum(text []byte, key string) (string, error) {
	hashed := sha256.Sum256([]byte(key))
	hash, err := highwayhash.NewDigest64(hashed[:])
	if err != nil {
		return "", fmt.Errorf("checksum of a stream's settings: %w", err)
	}
	_, _ = hash.Write(text) // never fails
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func streamName(text []byte) (string, error) {
	var info server.FileStreamInfo
	err := decodeStrictly(text, &info)
	return info.Name, err
}

func consumerName(text []byte) (string, error) {
	var info server.FileConsumerInfo
	err := decodeStrictly(text, &info)
	return info.Name, err
}

// decodeStrictly refuses what the server would, such as fields of a newer one.
func decodeStrictly(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
