package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/pflag"

	"notsale/pkg/backends"
	"notsale/pkg/boot"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/telemetry"
	"notsale/services/allocator"
	"notsale/services/archiver"
	"notsale/services/edge"
	"notsale/services/recorder"
	"notsale/services/scheduler"
)

// settings are all settings of the program; a command has flags for those that
// it needs, the others keep their defaults.
type settings struct {
	log       telemetry.LogConfig
	opsListen string
	data      string
	share     float64 // of the time in which an audit works
	codeKeys  string
	keysDelay time.Duration // before a key that is new in the file signs
	keys      *edge.KeyFile // the file, once it is open
	demo      bool

	databaseConns int32 // most sessions of a role's pool; 0: as many as it likes best

	edge      edge.Config
	allocator allocator.Config
	recorder  recorder.Config
	scheduler scheduler.Config
	archiver  archiver.Config
	stream    stream.Config

	redis rejection.Config // but its URL and name

	databaseURL, redisURL, natsURL string
	natsMonitor                    string // URLs
	natsVerified                   bool   // NATS is known to be durable, or people were told that it is not known

	logLines *telemetry.LogWriter // of a process that endures; nil: of a command that ends by itself
}

func newSettings() *settings {
	return &settings{
		log: telemetry.DefaultLogConfig(), opsListen: "127.0.0.1:9090", keysDelay: edge.DefaultKeysDelay,
		edge: edge.DefaultConfig(), allocator: allocator.DefaultConfig(), recorder: recorder.DefaultConfig(),
		scheduler: scheduler.DefaultConfig(), archiver: archiver.DefaultConfig(), stream: stream.DefaultConfig(),
	}
}

func (s *settings) commonFlags(f *pflag.FlagSet) {
	f.StringVar(&s.log.Format, "log-format", s.log.Format, "text or json")
	f.StringVar(&s.log.Level, "log-level", s.log.Level, "debug, info, warn or error")
}

func (s *settings) opsFlags(f *pflag.FlagSet) {
	f.StringVar(&s.natsMonitor, "nats-monitor", s.natsMonitor, "URLs of the monitoring listeners of NATS's servers, joined by commas, to verify that they are durable")
	f.StringVar(&s.opsListen, "ops-listen", s.opsListen, "address of the operations listener (metrics, profiles, health)")
	s.natsFlags(f)
}

// natsFlags belong to NATS_URL. The NATS that `up` starts needs none.
func (s *settings) natsFlags(f *pflag.FlagSet) {
	usages := map[string]string{ //nolint:gosec // what they are for
		"nats-ca":    "file of the certificates, PEM, of who signs those of NATS's servers, which must speak TLS then",
		"nats-cert":  "file of a certificate, PEM, by which NATS knows this process",
		"nats-key":   "file of the key of --nats-cert",
		"nats-creds": "file of credentials (JWT and key) by which NATS knows this process",
		"nats-nkey":  "file of the seed of a key by which NATS knows this process",
		natsDomain:   "JetStream domain of the streams, where NATS_URL leads to a server of another",
	}
	for name, value := range s.natsSettings() {
		f.StringVar(value, name, *value, usages[name])
	}
}

// natsDomain is the one of natsFlags that names no file.
const natsDomain = "nats-domain"

// natsSettings are where the values of natsFlags are.
func (s *settings) natsSettings() map[string]*string {
	files := &s.stream.Files
	return map[string]*string{
		"nats-ca": &files.CA, "nats-cert": &files.Cert, "nats-key": &files.Key,
		"nats-creds": &files.Creds, "nats-nkey": &files.NKey, natsDomain: &s.stream.Domain,
	}
}

// ownNATS drops what the flags say about another NATS: this program starts its own.
func (s *settings) ownNATS() {
	for _, value := range s.natsSettings() {
		*value = ""
	}
}

func (s *settings) ledgerFlags(f *pflag.FlagSet) {
	f.Int32Var(&s.databaseConns, "database-conns", s.databaseConns, "most sessions of each role with Postgres, an allocator's one for its leases apart; 0: 5 of an edge, 4 of the others")
}

// leastConns is how many sessions a role needs so that no slow statement holds up
// the others: an edge one for each of its three kinds of look-ups and one for pages;
// an allocator those of two restores, a takeover and a commit.
var leastConns = map[string]int32{"edge": 4, "allocator": 4, "recorder": 2, "scheduler": 2, "archiver": 2}

// conns is how many sessions a role may have.
func (s *settings) conns(role string) (int32, error) {
	switch least := leastConns[role]; {
	case s.databaseConns == 0 && role == "edge":
		return edge.LedgerConns, nil
	case s.databaseConns == 0:
		return ledger.DefaultConns, nil
	case s.databaseConns < least:
		return 0, fmt.Errorf("--database-conns %d: %s needs %d at least", s.databaseConns, role, least)
	}
	return s.databaseConns, nil
}

func (s *settings) dataFlags(f *pflag.FlagSet) {
	f.StringVar(&s.data, "data", s.data, "folder of the stores")
}

// evidenceFlags are those of commands that read ledger and streams.
func (s *settings) evidenceFlags(f *pflag.FlagSet) {
	s.commonFlags(f)
	f.StringVar(&s.data, "data", backends.DefaultConfig().Data, "folder of the stores of 'notsale up', where DATABASE_URL and NATS_URL are not set")
	s.natsFlags(f)
	f.Float64Var(&s.share, "share", 0, "part of the time in which an audit works, above 0 up to 1; 0: all of it, but a twentieth while the sale sells")
}

func (s *settings) edgeFlags(f *pflag.FlagSet) {
	f.StringVar(&s.edge.Listen, "listen", s.edge.Listen, "address of the shop's HTTP listener")
	f.DurationVar(&s.edge.CodeTTL, "code-ttl", s.edge.CodeTTL, "how long a code can be used to buy")
	f.DurationVar(&s.edge.PurchaseWait, "purchase-wait", s.edge.PurchaseWait, "how long a purchase waits for its decision")
	f.DurationVar(&s.edge.Drain, "drain", s.edge.Drain, "how long to stay open, not ready, after SIGTERM, so that balancers notice")
	f.Float64Var(&s.edge.RatePerUser, "rate-per-user", s.edge.RatePerUser, "checkouts a second, and beside them purchases, that are taken from one user, 429 beyond; 0: any number")
	f.Float64Var(&s.edge.RatePerAddress, "rate-per-address", s.edge.RatePerAddress, "checkouts a second, and beside them purchases, that are taken from one client address (IPv6: /64), 429 beyond; 0: any number")
	f.StringSliceVar(&s.edge.TrustedProxies, "trusted-proxies", s.edge.TrustedProxies, "addresses and networks whose X-Forwarded-For names the client's address")
	f.StringVar(&s.edge.UserHeader, "user-header", s.edge.UserHeader, "header in which a trusted proxy names the user of a checkout or purchase; empty: user_id does, and anybody may say anything")
	f.StringSliceVar(&s.edge.CORSOrigins, "cors-origins", s.edge.CORSOrigins, "origins, comma-separated, whose pages may use the API from a browser; * for all")
	f.StringVar(&s.codeKeys, "code-keys", s.codeKeys, "file of the keys that sign codes; read again when it changes, and at SIGHUP")
	f.DurationVar(&s.keysDelay, "code-keys-delay", s.keysDelay, "how long after a key was added to the file it begins to sign: longer than the file takes to reach all edges")
}

func (s *settings) redisFlags(f *pflag.FlagSet) {
	f.StringVar(&s.redis.CA, "redis-ca", s.redis.CA, "file of the certificates that sign those of a rediss:// server; empty: the system's")
	f.StringVar(&s.redis.Cert, "redis-cert", s.redis.Cert, "file of the certificate that a rediss:// server asks of its clients")
	f.StringVar(&s.redis.Key, "redis-key", s.redis.Key, "file of that certificate's key")
}

// cache says how a process of this name reaches Redis.
func (s *settings) cache(name string) rejection.Config {
	cfg := s.redis
	cfg.URL, cfg.Name = s.redisURL, name
	return cfg
}

// slotFlag is read by schedulers, and by archivers, whose waits follow it.
func (s *settings) slotFlag(f *pflag.FlagSet) {
	f.DurationVar(&s.scheduler.Every, "sale-every", s.scheduler.Every, "a sale opens in every slot of this length, counted from the Unix epoch")
}

func (s *settings) schedulerFlags(f *pflag.FlagSet) {
	s.slotFlag(f)
	f.IntVar(&s.scheduler.Stock, "sale-stock", s.scheduler.Stock, "items per sale")
	f.IntVar(&s.scheduler.UserLimit, "user-limit", s.scheduler.UserLimit, fmt.Sprintf("items that one user may buy per sale, at most %d", sale.MaxUserLimit))
	f.DurationVar(&s.scheduler.BackupHorizon, "backup-horizon", s.scheduler.BackupHorizon, "age of the oldest backup of the database that may be restored: checkouts of no sale are kept in their streams for longer")
	f.IntVar(&s.stream.Replicas, "stream-replicas", s.stream.Replicas, "replicas of each stream: 1 on a single NATS server, 3 in a cluster")
	f.Int64Var(&s.stream.SaleBytes, "sale-bytes", s.stream.SaleBytes, "bytes that are reserved for a sale's purchase requests when it opens; they grow")
	f.Int64Var(&s.stream.StoreBytes, "stream-store", s.stream.StoreBytes, "size of JetStream's file store in bytes, if its account has no limit; 0: found out")
	f.Int64Var(&s.stream.AttemptBytes, "attempt-bytes", s.stream.AttemptBytes, "bytes that are reserved for a sale's checkout attempts when it opens; they grow")
}

func (s *settings) archiverFlags(f *pflag.FlagSet) {
	f.StringVar(&s.archiver.To, "archive-to", s.archiver.To, "folder into which the streams of sold-out sales are moved as archives (up: empty, none is)")
	f.DurationVar(&s.archiver.After, "archive-after", s.archiver.After, "how long a sale has been sold out before it is archived")
}

// logger returns the logger of a command that ends by itself, on standard error.
func (s *settings) logger() (*slog.Logger, error) { return telemetry.NewLogger(os.Stderr, s.log) }

// enduring prepares a process that runs until it is stopped: a log that nobody reads
// or a closed terminal does not block it, and it keeps to the memory of its control
// group (unless GOMEMLIMIT is set; Go itself heeds the limit of processors). finish
// is called last.
func (s *settings) enduring() (log *slog.Logger, finish func(), err error) {
	log, s.logLines, err = telemetry.NewServiceLogger(os.Stderr, s.log)
	if err != nil {
		return nil, nil, err
	}
	rejection.LogTo(log)
	if _, err := memlimit.Set(); err != nil { // there are no control groups
		log.Debug("memory is used without a limit", "error", err)
	}
	restore := boot.Endure()
	return log, func() { s.logLines.Close(); restore() }, nil
}

// readURLs reads the three URLs, or the files that hold them. One that cannot be
// used is refused here, by an error that does not repeat it.
func (s *settings) readURLs() error {
	var errs [3]error
	s.databaseURL, errs[0] = boot.Secret("DATABASE_URL", os.LookupEnv)
	s.redisURL, errs[1] = boot.Secret("REDIS_URL", os.LookupEnv)
	s.natsURL, errs[2] = boot.Secret("NATS_URL", os.LookupEnv)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	errs[1] = boot.CheckURL("REDIS_URL", s.redisURL, rejection.Schemes()...)
	if errs[1] == nil && s.redisURL != "" {
		errs[1] = s.cache("").Validate()
	}
	if scheme, _, found := strings.Cut(s.databaseURL, "://"); found && !strings.Contains(scheme, "=") { // else keyword=value
		errs[0] = boot.CheckURL("DATABASE_URL", s.databaseURL, "postgres", "postgresql")
	}
	if errs[0] == nil && s.databaseURL != "" {
		errs[0] = ledger.CheckURL(s.databaseURL)
	}
	for one := range strings.SplitSeq(s.natsURL, ",") {
		errs[2] = cmp.Or(errs[2], boot.CheckURL("NATS_URL", strings.TrimSpace(one), "nats", "tls", "ws", "wss"))
	}
	return errors.Join(errs[:]...)
}

// ownDatabase drops libpq's variables (PGSSLMODE, PGTARGETSESSIONATTRS …), which are
// about another database: this program starts its own.
func ownDatabase() {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "PG") && name != "PG_BIN" {
			_ = os.Unsetenv(name) // fails for names that no variable has
		}
	}
}

// needURLs is readURLs for a process that starts no store itself.
func (s *settings) needURLs(redis bool) error {
	if err := s.readURLs(); err != nil {
		return err
	}
	for _, u := range []struct{ name, value string }{
		{"DATABASE_URL", s.databaseURL}, {"REDIS_URL", s.redisURL}, {"NATS_URL", s.natsURL},
	} {
		if u.value == "" && (redis || u.name != "REDIS_URL") {
			return fmt.Errorf("%s is not set: set it or %s_FILE (`notsale backends` starts stores to try with)", u.name, u.name)
		}
	}
	return nil
}

// connectTimeout bounds waiting for the stores at start; what supervises the
// process starts it again.
const connectTimeout = 30 * time.Second
