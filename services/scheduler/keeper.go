package scheduler

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/host"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Pauses and limits of the keeper.
const (
	// lookPause is between two looks at the watched streams. The fastest flood
	// measured brings 60 MB/s, 15 MB in one pause: less than what is left free
	// when a watched stream is made larger, half of headroom.
	lookPause = 250 * time.Millisecond
	// hintPause is the least between two looks, however many full streams are
	// told.
	hintPause = 20 * time.Millisecond
	// listPause is between two looks at all streams, which take at most a
	// listShare of the time.
	listPause = 30 * time.Second
	listShare = 50
	// settlePause is the pause where the last look found streams for the first
	// time, of which it is not known yet how busy they are.
	settlePause = time.Second
	// watchFor is how long a stream that is not the newest is watched after it was
	// found full or busy.
	watchFor = 5 * time.Minute
	// maxLooks bounds the streams that are read in one look; where more are
	// watched they take turns.
	maxLooks = 64
	// ledgerTimeout bounds asking the ledger which sales still sell: streams must grow
	// while it hangs.
	ledgerTimeout = time.Second
	// maxHints bounds the hints that wait; the streams of lost ones are found by
	// the next hint, or the next look at all.
	maxHints = 64
)

// Sizes of streams.
const (
	headroom = 32 << 20 // bytes, free in a watched stream that is nearly empty
	reserve  = stream.MinStreamBytes
	// busyRate, in bytes a second, makes a stream watched: its reserve would last
	// two minutes.
	busyRate = reserve / 120
	// nextSale is what the streams of the next sale need to open.
	nextSale = stream.OpeningBytes
)

// alarmShare is which part of the stream store may be reserved, and of a stream
// that cannot grow used, before people are told.
const alarmShare = 0.7

// alarmAhead is how long before the store is full people are told.
const alarmAhead = 7 * 24 * time.Hour

// meanOf is how many sales are looked at for how much a sale leaves behind.
const meanOf = 24

// keeper gives each stream the space that it needs: much and early where
// requests come fast, little where hardly any come.
type keeper struct {
	cfg      Config
	ports    Ports
	host     host.Host
	log      *slog.Logger
	alarms   alarms
	reserved prometheus.Gauge
	hints    host.Inbox   // subjects of streams that a publisher found full
	hinted   atomic.Int64 // hints that wait

	space   stream.Space
	known   map[string]*kept // by the stream's name
	sums    sums             // over known
	listed  time.Time        // when all were last read
	took    time.Duration    // how long that took
	fresh   bool             // some were read for the first time
	unsold  map[sale.ID]bool // sales that still sell; nil until the ledger was read
	short   int              // looks in a row that found the store filling up
	unequal bool             // people were told that streams lack replicas
	turn    int              // of the watched streams, where they take turns
}

// kept is a stream as it was last read.
type kept struct {
	stream.Size

	before int64     // bytes used at the last look at all
	again  bool      // it was there at an earlier look at all
	newest bool      // of its kind
	busy   time.Time // it was found full or busy, and counts as such until then
	told   bool      // people were told that it cannot grow
}

func newKeeper(cfg Config, ports Ports, h host.Host, log *slog.Logger, a alarms) *keeper {
	return &keeper{
		cfg: cfg, ports: ports, host: h, log: log, alarms: a, hints: h.Inbox(), known: map[string]*kept{},
		reserved: prometheus.NewGauge(prometheus.GaugeOpts{Name: "notsale_scheduler_store_reserved_ratio", Help: "Part of the stream store that is reserved."}),
	}
}

// watched streams are looked at often, and may fill fast.
func (k *keeper) watched(s *kept) bool { return s.newest || k.host.Now().Before(s.busy) }

// keep keeps the sizes until ctx ends.
func (k *keeper) keep(ctx context.Context) {
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	for failing := false; ctx.Err() == nil; k.pause(ctx) {
		err := k.look(ctx)
		if stop == nil {
			var errHints error
			stop, errHints = k.ports.Space.Full(k.hint)
			err = errors.Join(err, errHints)
		}
		if err != nil && ctx.Err() == nil && !failing {
			k.log.Warn("the sizes of streams cannot be looked at, trying on", "error", err)
		}
		failing = err != nil
	}
}

// hint says that a stream was found full.
func (k *keeper) hint(subject string) {
	if k.hinted.Add(1) > maxHints {
		k.hinted.Add(-1)
		return
	}
	k.hints.Put(subject)
}

// pause waits for the next look, which is soon where a stream is full.
func (k *keeper) pause(ctx context.Context) {
	k.host.Wait(ctx, hintPause)
	for patience := lookPause; ; patience = 0 {
		subject, ok := k.hints.Take(ctx, patience)
		if !ok {
			return
		}
		k.hinted.Add(-1)
		k.watch(subject)
	}
}

// watch has the stream of a subject looked at often for a while. One that is not
// known is found by the look at all that its making causes.
func (k *keeper) watch(subject any) {
	for _, s := range k.known {
		if s.Subject == subject {
			s.busy = k.host.Now().Add(watchFor)
		}
	}
}

// those are some of the known streams: purchases before checkouts, of new sales
// before old ones, for whoever comes first gets the room.
func (k *keeper) those(are func(*kept) bool) (some []*kept) {
	for _, s := range k.known {
		if are(s) {
			some = append(some, s)
		}
	}
	slices.SortFunc(some, func(a, b *kept) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Sale, a.Sale), strings.Compare(a.Name, b.Name))
	})
	return some
}

// look reads streams and gives them the size that they should have.
func (k *keeper) look(ctx context.Context) error {
	ctx, cancel := k.host.WithTimeout(ctx, turnTimeout)
	defer cancel()
	space, err := k.ports.Space.Space(ctx)
	if err != nil {
		return err
	}
	changed := space.Streams != k.space.Streams
	k.space = space
	k.reserved.Set(space.Share())
	if changed || k.host.Now().Sub(k.listed) > k.listAfter() {
		return k.lookAtAll(ctx)
	}
	k.watchStore()
	return k.lookAtWatched(ctx)
}

// listAfter is the pause between two looks at all streams.
func (k *keeper) listAfter() time.Duration {
	if k.fresh {
		return max(settlePause, listShare*k.took)
	}
	return max(listPause, listShare*k.took)
}

// lookAtWatched reads the streams that may fill soon.
func (k *keeper) lookAtWatched(ctx context.Context) error {
	watched := k.those(k.watched)
	if len(watched) > maxLooks {
		k.turn = (k.turn + maxLooks) % len(watched)
		watched = append(watched[k.turn:], watched[:k.turn]...)[:maxLooks]
	}
	var errs []error
	for _, s := range watched {
		size, err := k.ports.Sizes.Size(ctx, s.Name)
		if err != nil {
			delete(k.known, s.Name)
			if !errors.Is(err, stream.ErrLost) { // else it is archived
				k.listed = time.Time{} // the others do not wait for it again: those that answer are listed next
				errs = append(errs, err)
			}
			continue
		}
		s.Size = size
		k.sum()
		errs = append(errs, k.fit(ctx, s))
	}
	return errors.Join(errs...)
}

// lookAtAll reads all streams, and which sales still sell.
func (k *keeper) lookAtAll(ctx context.Context) error {
	started := k.host.Now()
	sizes, err := k.ports.Sizes.Sizes(ctx)
	if err != nil {
		return err
	}
	k.askLedger(ctx)
	k.remember(sizes)
	k.sum()
	k.listed = k.host.Now()
	k.took = k.listed.Sub(started)
	k.watchStore()
	k.replicate(ctx)
	var errs []error
	for _, s := range k.those(func(*kept) bool { return true }) {
		errs = append(errs, k.fit(ctx, s))
	}
	return errors.Join(errs...)
}

// askLedger reads which sales still sell. What was known stays so while the ledger
// does not answer.
func (k *keeper) askLedger(ctx context.Context) {
	ctx, cancel := k.host.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	open, err := k.ports.Ledger.UnsoldSales(ctx)
	if err != nil {
		return
	}
	k.unsold = map[sale.ID]bool{}
	for _, id := range open {
		k.unsold[id] = true
	}
}

// remember takes over what was read of all streams.
func (k *keeper) remember(sizes []stream.Size) {
	now, had := k.host.Now(), k.known
	quiet := int64(busyRate * now.Sub(k.listed).Seconds())
	k.known, k.fresh = make(map[string]*kept, len(sizes)), false
	newest := map[bool]map[stream.Kind]*kept{true: {}, false: {}} // of sales, of no sale
	for _, size := range sizes {
		s := &kept{Size: size, before: size.Bytes}
		if old := had[s.Name]; old != nil {
			s.again, s.busy, s.told = true, old.busy, old.told
			if s.Bytes-old.before > quiet {
				s.busy = now.Add(watchFor)
			}
		}
		k.fresh = k.fresh || !s.again
		k.known[s.Name] = s
		ofKind := newest[s.Sale != 0]
		if last := ofKind[s.Kind]; last == nil || s.Sale > last.Sale || s.Sale == last.Sale && s.Created.After(last.Created) {
			ofKind[s.Kind] = s
		}
	}
	for _, ofKind := range newest {
		for _, s := range ofKind {
			s.newest = true
		}
	}
}

// fit gives a stream the size that it should have, as far as there is room.
func (k *keeper) fit(ctx context.Context, s *kept) error {
	if s.Kind == stream.Listing {
		return nil
	}
	watched, room := k.watched(s), k.room(s)
	want := wanted(&s.Size, watched, room)
	if want < s.MaxBytes && s.again {
		return k.resize(ctx, s, want)
	}
	for step := min(want-s.MaxBytes, room); step > 0; step /= 2 {
		err := k.resize(ctx, s, s.MaxBytes+step)
		if err == nil {
			break
		}
		if !errors.Is(err, stream.ErrNoRoom) {
			return err
		}
	}
	k.watchStream(s, watched && !s.Sealed && room < reserve)
	return nil
}

func (k *keeper) resize(ctx context.Context, s *kept, size int64) error {
	if err := k.ports.Sizes.Resize(ctx, s.Size, size); err != nil {
		return err
	}
	k.log.Debug("stream resized", "stream", s.Name, "used", s.Bytes, "from", s.MaxBytes, "to", size)
	k.space.Reserved += size - s.MaxBytes
	s.MaxBytes = size
	k.sum()
	return nil
}

// wanted is the size that a stream should have. A watched one has as much free
// again as it holds, and headroom; where the store is short of room a quarter of
// that is enough for one stream. Others have a reserve, and sealed ones none.
func wanted(s *stream.Size, watched bool, room int64) int64 {
	if s.Sealed {
		return s.Bytes
	}
	if !watched {
		if free := s.Free(); free < reserve/2 || free > 2*reserve {
			return s.Bytes + reserve
		}
		return s.MaxBytes
	}
	head := max(reserve, min(headroom+s.Bytes, (room+s.Free())/4))
	if s.Free() >= head/2 {
		return s.MaxBytes
	}
	return s.Bytes + head
}

// room is how much a stream may grow. The next sale's opening comes first, then
// what this stream needs itself. What the purchases of other sales that still
// sell, and of the next one, need is left to them: neither checkouts nor one
// sale's flood take it. But at most half of what is free, or
// taken by streams of its kind, is kept for them: a thousand idle sales, which will not
// all sell at once, must leave a busy one room while the store is mostly free.
func (k *keeper) room(s *kept) int64 {
	free := max(0, k.space.Room()-nextSale)
	taken, own := s.MaxBytes, k.need(s)
	needs := k.sellsOut() + k.sums.needs - own
	if s.Kind == stream.Attempts {
		taken = k.sums.attempts
	}
	room := max(0, free-min(needs, (free+taken)/2), min(own, free))
	if s.Kind == stream.Attempts {
		room = max(0, min(room, k.roomForAttempts(s)))
	}
	return room
}

// sums are over all streams that are known, so that a look at each stream need
// not look at each other.
type sums struct {
	needs    int64 // what the streams of purchases lack, as need says
	attempts int64 // reserved by the streams of attempts
	unsold   int64 // likewise, by those of no sale
}

// sum makes the sums anew, after streams were read or one was resized.
func (k *keeper) sum() {
	k.sums = sums{}
	for _, s := range k.known {
		k.sums.needs += k.need(s)
		if s.Kind == stream.Attempts {
			k.sums.attempts += s.MaxBytes
			if s.Sale == 0 {
				k.sums.unsold += s.MaxBytes
			}
		}
	}
}

// A flood of checkouts exhausts the room for checkouts, never that for purchases.
const (
	attemptShare = 2 // one part of so many of the store is for checkouts
	unsoldShare  = 4 // likewise, and of that, for those of no sale
)

// roomForAttempts is how much checkouts may still reserve. One of the streams of
// no sale is followed by another before it is too large.
func (k *keeper) roomForAttempts(s *kept) int64 {
	left := k.space.Limit/attemptShare - k.sums.attempts
	if s.Sale == 0 {
		return min(left, k.space.Limit/unsoldShare-k.sums.unsold, stream.UnsoldBytes-s.MaxBytes)
	}
	return left
}

// need is what a stream lacks of the space for a sale's purchases.
func (k *keeper) need(s *kept) int64 {
	if s.Kind != stream.Purchases || s.Sealed || k.unsold != nil && !k.unsold[s.Sale] {
		return 0
	}
	return max(0, k.sellsOut()-s.MaxBytes)
}

// sellsOut is the space for a sale's purchases: every item takes a request, and
// as many again that lose, of 200 bytes each.
func (k *keeper) sellsOut() int64 { return 4*reserve + int64(k.cfg.Stock)*400 }

// watchStream tells people of a stream that fills up and cannot grow.
func (k *keeper) watchStream(s *kept, stuck bool) {
	full := stuck && float64(s.Bytes) >= alarmShare*float64(s.MaxBytes)
	if full && !s.told {
		k.alarms.raise("stream-full", "stream", s.Name, "used", s.Bytes, "size", s.MaxBytes,
			"do", "it cannot grow and will refuse requests: give JetStream a larger max_file_store, or archive sold-out sales")
	}
	s.told = full
}

// watchStore tells people long before the store is full, when two looks in a row say
// so: it is full for some milliseconds while another scheduler finds out its size.
func (k *keeper) watchStore() {
	left := k.lasts()
	if k.space.Share() < alarmShare && left >= alarmAhead {
		k.short = 0
		return
	}
	if k.short++; k.short == 2 {
		k.alarms.raise("stream-store", "reserved", k.space.Reserved, "limit", k.space.Limit, "lasts", left.Round(time.Minute),
			"do", "give JetStream a larger max_file_store, or archive sold-out sales, as --archive-to does")
	}
}

// lasts is how long the store has room if each sale leaves behind as much as the
// last ones: what is used, and a reserve. Sales faster than hourly, as in a
// demonstration, count once they have gone on for an hour.
func (k *keeper) lasts() time.Duration {
	var newest sale.ID
	oldest := k.host.Now()
	for _, s := range k.known {
		newest = max(newest, s.Sale)
		if s.Created.Before(oldest) {
			oldest = s.Created
		}
	}
	if k.cfg.Every < time.Hour && k.host.Now().Sub(oldest) < time.Hour {
		return 100 * alarmAhead
	}
	var left int64
	sales := map[sale.ID]bool{}
	for _, s := range k.known {
		if s.Sale > 0 && s.Sale > newest-1-meanOf && (s.Sale < newest || newest == 1) {
			left += s.Bytes + reserve
			sales[s.Sale] = true
		}
	}
	if len(sales) == 0 {
		return 100 * alarmAhead
	}
	more := float64(k.space.Room()) * float64(len(sales)) / float64(left)
	return time.Duration(min(more*float64(k.cfg.Every), float64(100*alarmAhead)))
}

// replicate gives streams the replicas that they lack, such as those that were
// made before the cluster had its other servers.
func (k *keeper) replicate(ctx context.Context) {
	failing := false
	for _, s := range k.those(func(*kept) bool { return true }) {
		had := s.Replicas
		raised, err := k.ports.Sizes.Replicate(ctx, &s.Size)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // it keeps none of the others from theirs
			if !failing && !k.unequal {
				k.log.Warn("a stream lacks replicas and cannot be given them, trying on", "stream", s.Name, "error", err)
			}
			failing = true
		}
		if raised {
			k.log.Info("stream has more replicas", "stream", s.Name, "had", had, "has", s.Replicas)
		}
	}
	k.unequal = failing
}
