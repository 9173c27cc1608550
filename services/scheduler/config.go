package scheduler

import (
	"fmt"
	"time"

	"notsale/pkg/sale"
)

// Config says which sales are opened.
type Config struct {
	Every     time.Duration // length of a slot; slots are counted from the Unix epoch
	Stock     int           // items per sale
	UserLimit int           // items per user and sale
	// BackupHorizon is the age of the oldest backup of the database that may ever
	// be restored: attempts of no sale stay in their streams for longer.
	BackupHorizon time.Duration
}

// DefaultConfig is the brief's: 10,000 items every hour, 10 per user.
func DefaultConfig() Config {
	return Config{Every: time.Hour, Stock: 10_000, UserLimit: 10, BackupHorizon: 7 * 24 * time.Hour}
}

// MinEvery is the shortest slot: a sale needs some tens of milliseconds to open.
const MinEvery = time.Second

// Validate reports a setting that no sale may have.
func (c Config) Validate() error {
	switch {
	case c.Every < MinEvery:
		return fmt.Errorf("--sale-every %v: want at least %v", c.Every, MinEvery)
	case c.Stock < 1 || c.Stock > sale.MaxStock:
		return fmt.Errorf("--sale-stock %d: want 1 to %d", c.Stock, sale.MaxStock)
	case c.UserLimit < 1 || c.UserLimit > sale.MaxUserLimit:
		return fmt.Errorf("--user-limit %d: want 1 to %d", c.UserLimit, sale.MaxUserLimit)
	case c.BackupHorizon < 0:
		return fmt.Errorf("--backup-horizon %v: want none below 0", c.BackupHorizon)
	}
	return nil
}
