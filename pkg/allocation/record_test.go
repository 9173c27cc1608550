package allocation_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

var record = flag.String("record", "", "write the new recording `rulesVERSION-SCRIPT`, one of the scripts under a version of the rules")

// scripts are what is recorded under each version of the rules.
var scripts = map[string]func(*tape){
	"every-reason": everyReason,
	"sell-out":     sellOut,
	"time":         timeRunsBack,
	"holes":        holes,
	"users":        users,
}

func recordingName(version int, script string) string {
	return fmt.Sprintf("rules%d-%s.txt", version, script)
}

// TestRecord adds a recording, where the flag asks for one.
func TestRecord(t *testing.T) {
	if *record == "" {
		t.Skip("no -record")
	}
	var version int
	var script string
	if _, err := fmt.Sscanf(strings.Replace(*record, "-", " ", 1), "rules%d %s", &version, &script); err != nil || scripts[script] == nil || !allocation.KnownRules(version) {
		t.Fatalf("-record %s: want rulesVERSION-SCRIPT, of a known version and one of %v", *record, slices.Sorted(maps.Keys(scripts)))
	}
	tape := &tape{version: version, now: openedAt}
	scripts[script](tape)
	text := tape.replay(t, version).text
	name := recordingName(version, script)
	create(t, filepath.Join(recorded, name), os.O_EXCL, text)
	create(t, filepath.Join(recorded, sums), os.O_APPEND, fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(text)), name))
}

// create writes to a file that is new or, with O_APPEND, to its end.
func create(t *testing.T, path string, how int, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|how, 0o600)
	if err != nil {
		t.Fatalf("recordings are only ever added: %v", err)
	}
	_, err = f.WriteString(text)
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openedAt is the stream's timestamp of every opening record on tape.
const openedAt sale.Instant = 1_767_322_800_000_000

const second = 1_000_000 // of an Instant

// tape is a recording that a script makes.
type tape struct {
	recording

	version int
	now     sale.Instant // timestamp of the next message
	last    uint64       // sequence of the last message
	asked   uint64       // requests so far
}

func (t *tape) open(title string, stock, limit int) {
	t.title = title
	t.message(wire.EncodeOpening(sale.Sale{
		Installation: sale.UUID{0x10, 15: 1}, UUID: sale.UUID{0x20, 15: 2}, ID: 7, OpensAt: openedAt.Time(),
		Stock: stock, UserLimit: limit, FirstItem: 101, Seed: 42, Rules: t.version,
	}))
}

// message puts a message on the tape, a second after the one before.
func (t *tape) message(data []byte) {
	t.last++
	t.events = append(t.events, event{sequence: t.last, at: t.now, data: data})
	t.now += second
}

func (t *tape) pack(edge string, requests ...allocation.Request) {
	t.message(wire.AppendPack(nil, edge, requests))
}

// lose loses the messages after the one that is still as it was.
func (t *tape) lose(after uint64) {
	t.events = append(t.events, event{hole: true, sequence: after})
	t.last = after
}

// ask is a request by the code of that number, which expires a minute after
// the opening.
func (t *tape) ask(number uint16, item sale.ItemID, user sale.UserID) allocation.Request {
	t.asked++
	return allocation.Request{
		Number: t.asked, Code: code.ID{byte(number >> 8), byte(number), 15: 1}, Item: item, User: user, Expires: openedAt + 60*second,
	}
}

// until is ask with another expiry.
func (t *tape) until(expires sale.Instant, number uint16, item sale.ItemID, user sale.UserID) allocation.Request {
	r := t.ask(number, item, user)
	r.Expires = expires
	return r
}

func everyReason(t *tape) {
	t.open("Every reason, repeats of each, and messages that are no packs.", 4, 2)
	long := sale.UserID(strings.Repeat("x", sale.MaxUserIDLength))
	t.pack("edge-1", t.ask(1, 101, "ann"))
	t.pack("edge-2",
		t.ask(2, 101, "bob"), // taken
		t.ask(3, 102, "ann"),
		t.ask(4, 103, "ann"),                     // over the limit
		t.ask(5, 101, "ann"),                     // over the limit, and taken
		t.until(openedAt+second, 6, 103, "cid"),  // expired
		t.until(openedAt+second, 7, 103, "ann"),  // expired, and over the limit
		t.ask(8, 105, "cid"), t.ask(9, 100, "d"), // not of this sale
		t.until(0, 10, 999, "ann"), // not of this sale, and expired
	)
	t.pack("edge-1", t.ask(1, 101, "ann"), t.ask(2, 101, "bob"), t.ask(4, 103, "ann"), t.ask(6, 103, "cid"), t.ask(8, 105, "cid"))
	t.message([]byte("not a pack"))
	t.message(nil)
	t.message([]byte("{\"v\":1,\n\x00\xff"))
	t.message([]byte(`{"v":1,"kind":"pack","edge":"no edge","requests":[{"n":1,"code":"000b0000000000000000000000000001","item":103,"user":"cid","expires":1767322860000000}]}`))
	t.message([]byte(`{"v":1,"kind":"pack","edge":"edge-3","requests":[]}`))
	t.message([]byte(`{ "kind": "pack", "v": 1, "edge": "edge-3", "requests": [17, null, {"n": 2, "code": "short", "item": 103, "user": "cid", "expires": 0}, ` +
		`{"n": 3, "code": "000c0000000000000000000000000001", "item": 103, "user": "a b", "expires": 0}, ` +
		`{"n": 4, "user": "\u0063id", "item": 103, "expires": 1767322860000000, "code": "000d0000000000000000000000000001"}]}`))
	t.pack("edge-1", t.ask(14, 104, long), t.ask(14, 104, long), t.ask(15, 102, "A.z_9@x:-")) // the last item
	t.pack("edge-2",
		t.ask(16, 101, "bob"),             // sold out, and taken
		t.ask(17, 104, "ann"),             // sold out, over the limit and taken
		t.until(openedAt, 18, 101, "bob"), // expired, and sold out
		t.ask(19, 105, "bob"),             // not of this sale, and sold out
		t.ask(1, 101, "ann"), t.ask(17, 104, "ann"), t.ask(3, 102, "ann"),
	)
}

func sellOut(t *tape) {
	const stock, users, edges = 36, 30, 3
	t.open("A sale sells out among users of whom some want more than they may have.", stock, 3)
	random := rand.New(rand.NewPCG(1, 2))
	var before []allocation.Request
	for number := uint16(1); number <= 240; {
		var requests []allocation.Request
		for range 1 + random.IntN(8) {
			if len(before) > 0 && random.IntN(8) == 0 {
				again := before[random.IntN(len(before))]
				t.asked++
				again.Number = t.asked
				requests = append(requests, again)
				continue
			}
			user := random.IntN(users) * random.IntN(users) / users // some want more than others
			requests = append(requests, t.ask(number, sale.ItemID(101+random.IntN(stock)), sale.UserID(fmt.Sprintf("user-%d", user))))
			number++
		}
		before = append(before, requests...)
		t.pack(fmt.Sprintf("edge-%d", random.IntN(edges)), requests...)
		t.now -= second * 9 / 10 // ten packs a second
	}
}

func timeRunsBack(t *tape) {
	t.open("The stream's clock stands still, runs back and leaps; codes expire.", 20, 20)
	t.pack("edge-1", t.until(openedAt+second, 1, 101, "ann"))   // at the very instant
	t.pack("edge-1", t.until(openedAt+2*second-1, 2, 102, "b")) // one microsecond late
	t.now = openedAt - 3600*second
	t.pack("edge-1", t.until(openedAt+second, 3, 103, "ann"), t.until(openedAt+2*second, 4, 103, "ann"), t.until(openedAt-second, 5, 104, "ann"))
	t.pack("edge-1", t.until(openedAt+2*second-1, 2, 102, "b"), t.until(openedAt+2*second-1, 6, 102, "b"))
	t.now = openedAt + 2*second
	t.pack("edge-2", t.until(openedAt+2*second, 7, 102, "b"))
	t.now = openedAt + 2*second
	t.pack("edge-2", t.until(openedAt+2*second, 8, 105, "b"))
	t.now = 0
	t.pack("edge-2", t.until(0, 9, 106, "b"), t.until(openedAt+2*second, 10, 106, "b"))
	t.now = openedAt + 1_000_000*second
	t.pack("edge-2", t.until(openedAt+2*second, 11, 107, "b"), t.until(999_999_999_999_999_999, 12, 107, "b"))
	t.message([]byte("not a pack"))
	t.now = openedAt
	t.message([]byte("not a pack, and before the one before"))
	t.pack("edge-1", t.until(openedAt+second, 1, 101, "ann"), t.until(openedAt+2*second, 11, 107, "b"), t.ask(13, 108, "b"))
}

func holes(t *tape) {
	t.open("The stream loses its tail twice; what was sold stays sold, and selling goes on.", 6, 2)
	t.pack("edge-1", t.ask(1, 101, "ann"))
	t.pack("edge-1", t.ask(2, 102, "ann"), t.ask(3, 101, "bob"))
	t.pack("edge-1", t.ask(4, 103, "bob"))
	t.pack("edge-2", t.ask(5, 104, "cid"), t.ask(6, 103, "cid")) // lost
	t.pack("edge-2", t.ask(7, 106, "ann"))                       // lost
	t.lose(4)
	t.now = openedAt + second                                                           // before what was lost
	t.pack("edge-2", t.ask(5, 104, "cid"), t.ask(8, 104, "dan"), t.ask(9, 105, "dan"))  // a repeat of what was lost; lost in turn
	t.pack("edge-2", t.ask(10, 103, "eve"), t.until(openedAt+2*second, 11, 106, "eve")) // lost
	t.lose(3)                                                                           // further back than the first time
	t.pack("edge-1", t.ask(4, 103, "bob"), t.ask(9, 105, "dan"), t.ask(11, 106, "eve"))
	t.message([]byte("not a pack"))
	t.pack("edge-1", t.ask(12, 106, "bob"), t.ask(13, 106, "eve")) // the last item
	t.pack("edge-1", t.ask(13, 106, "eve"), t.ask(7, 106, "ann"))
}

// users: the user id of a request that the rules do not take makes it unreadable.
func users(t *tape) {
	t.open("User ids of every kind, and the first version takes the fewest.", 20, 2)
	t.pack("edge-1", t.ask(1, 101, "ann@example.com"), t.ask(2, 102, "A.z_9@x:-"))
	t.pack("edge-1",
		t.ask(3, 103, "ann+x@example.com"), t.ask(4, 104, "auth0|5f7c"),
		t.ask(5, 105, "0d1e2f3a-4b5c-6d7e-8f90-a1b2c3d4e5f6"), t.ask(6, 106, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"),
	)
	t.pack("edge-1",
		t.ask(7, 107, sale.UserID(strings.Repeat("x", 64))), t.ask(8, 108, sale.UserID(strings.Repeat("x", 65))),
		t.ask(9, 109, sale.UserID(strings.Repeat("~", sale.MaxUserIDLength))), t.ask(10, 110, sale.UserID(strings.Repeat("x", sale.MaxUserIDLength+1))),
	)
	t.pack("edge-1", t.ask(3, 103, "ann+x@example.com"), t.ask(11, 111, "a b"), t.ask(12, 111, ""), t.ask(13, 103, "bob"), t.ask(14, 111, "Bob"))
	t.pack("edge-1", t.ask(15, 112, "a+b"), t.ask(16, 113, "a+b"), t.ask(17, 114, "a+b"), t.ask(18, 112, "A+b"))
}
