package simulation

// Sometimes is an event that runs must reach now and then: a simulator that
// never gets there proves nothing about it.
type Sometimes string

// The events that must be reached.
const (
	TakeoverInBatch     Sometimes = "takeover while a batch was being committed"
	CommittedUnreported Sometimes = "committed, but the allocator was not told"
	CommittedUnreplied  Sometimes = "committed, but the reply was lost"
	ZombieFenced        Sometimes = "zombie fenced"
	EpochBumped         Sometimes = "epoch bumped"
	HoleOpened          Sometimes = "hole opened"
	GenerationContinued Sometimes = "decided in a later generation"
	TailLostUndecided   Sometimes = "tail lost beyond the cursor"
	CacheRefused        Sometimes = "cache refused truly"
	CacheProvedWinner   Sometimes = "cache proved a winner"
	CacheForgot         Sometimes = "cache forgot"
	DuplicatePack       Sometimes = "the same pack twice in the stream"
	LatePack            Sometimes = "pack arrived after it was given up"
	RepeatedCode        Sometimes = "repeated code answered from the record"
	SoldOutReached      Sometimes = "sold out"
	LimitReached        Sometimes = "limit reached"
	CodeExpired         Sometimes = "code expired"
	WinnerAskedAgain    Sometimes = "winner asked again after sold-out"
	PendingAnswered     Sometimes = "answered 202"
	UnqueuedAnswered    Sometimes = "answered 503"
	OpeningInterrupted  Sometimes = "scheduler crashed between two steps of an opening"
	OpeningRaced        Sometimes = "two schedulers published one opening record"
	ClockStepped        Sometimes = "stream clock stepped back"
	WarmTakeover        Sometimes = "takeover with a warm engine"
	RecorderRepeated    Sometimes = "attempts recorded twice"
)

// AllSometimes lists them.
func AllSometimes() []Sometimes {
	return []Sometimes{
		TakeoverInBatch, CommittedUnreported, CommittedUnreplied, ZombieFenced, EpochBumped, HoleOpened, GenerationContinued,
		TailLostUndecided, CacheRefused, CacheProvedWinner, CacheForgot, DuplicatePack, LatePack, RepeatedCode, SoldOutReached,
		LimitReached, CodeExpired, WinnerAskedAgain, PendingAnswered, UnqueuedAnswered, OpeningInterrupted, OpeningRaced,
		ClockStepped, WarmTakeover, RecorderRepeated,
	}
}

func (w *world) hit(s Sometimes) { w.sometimes[s]++ }
