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

// repairMetas writes the checksum again of each stream and consumer whose settings do
// not match it. The server renames first the new settings into place, then their
// checksum. If it was killed between the two, or the disk was full, its next start
// would skip the stream with all its messages. Settings that were damaged in another
// way, but can be read, are accepted as they are: losing the messages is worse. If they
// cannot be read, or have another name than their folder, they are left alone, and the
// server reports them.
func repairMetas(store string, log *slog.Logger) error {
	root := filepath.Join(store, server.JetStreamStoreDir)
	streams, _ := fs.Glob(os.DirFS(root), "*/streams/*/"+server.JetStreamMetaFile) // only a bad pattern fails
	consumers, _ := fs.Glob(os.DirFS(root), "*/streams/*/obs/*/"+server.JetStreamMetaFile)
	var errs []error
	repair := func(meta, key string, info any, name *string) {
		repaired, err := repairMeta(filepath.Join(root, filepath.FromSlash(meta)), key, info, name)
		if repaired {
			log.Warn("the settings of a stream or consumer do not match their checksum, which is written again: the server was killed while it wrote them, or they were damaged", "name", key)
		}
		errs = append(errs, err)
	}
	for _, meta := range streams {
		var info server.FileStreamInfo
		repair(meta, path.Base(path.Dir(meta)), &info, &info.Name)
	}
	for _, meta := range consumers {
		var info server.FileConsumerInfo
		folder := path.Dir(meta)
		repair(meta, path.Base(path.Dir(path.Dir(folder)))+"/"+path.Base(folder), &info, &info.Name)
	}
	return errors.Join(errs...)
}

// repairMeta writes one checksum again, unless it matches. The server keys the checksum
// with key, which ends with the name. The settings are decoded into info, to which name
// belongs, as strictly as the server does.
func repairMeta(meta, key string, info any, name *string) (repaired bool, err error) {
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
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // a newer server's
	if err := decoder.Decode(info); err != nil || *name != path.Base(key) {
		return false, nil //nolint:nilerr // the server reports it
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
