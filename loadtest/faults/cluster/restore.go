//go:build unix

package cluster

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"notsale/pkg/sale"
)

// SavePostgres stops the test's own Postgres, copies its data folder, starts
// it again, and returns what puts the copy back in the same way.
func (a *Cluster) SavePostgres() (putBack func()) {
	a.t.Helper()
	data := a.dataFolder()
	saved := data + ".saved"
	a.t.Cleanup(func() { _ = os.RemoveAll(saved) })
	a.whileStopped(func() error { return copyFolder(data, saved) })
	return func() {
		a.t.Helper()
		a.whileStopped(func() error {
			if err := os.RemoveAll(data); err != nil {
				return err
			}
			return copyFolder(saved, data)
		})
	}
}

func (a *Cluster) dataFolder() (dir string) {
	a.t.Helper()
	a.must(a.scan(&dir, `SELECT current_setting('data_directory')`))
	return filepath.Clean(dir)
}

func (a *Cluster) whileStopped(do func() error) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	err := a.Postgres.Stop(ctx)
	if err == nil {
		err = do()
	}
	if err == nil {
		err = a.Postgres.Restart(ctx)
	}
	a.must(err)
	a.Eventually("Postgres answers", func() bool { _, err := a.TryNumber(`SELECT 1`); return err == nil })
}

// copyFolder keeps owners and modes, as Postgres demands.
func copyFolder(from, to string) error { return exec.Command("cp", "-a", from, to).Run() }

// DecisionsDigest is a hash over the decisions of a sale up to a position.
func (a *Cluster) DecisionsDigest(id sale.ID, upTo int64) (digest string) {
	a.t.Helper()
	a.must(a.scan(&digest, `SELECT md5(string_agg(concat_ws(',', position, code_id, item_id, user_id, reason, decided_at), ';' ORDER BY position))
		FROM decisions WHERE sale_id = $1 AND position <= $2`, id, upTo))
	return digest
}

// Wipe empties the database and migrates it, as on a new server.
func (a *Cluster) Wipe() {
	a.t.Helper()
	a.Exec(`DROP SCHEMA public CASCADE`)
	a.Exec(`CREATE SCHEMA public`)
	a.DB.Reset()
	a.Migrate()
}
