package simulation

// Sometimes is an event that runs must reach now and then: a simulator that
// never gets there proves nothing about it.
type Sometimes string

// The events that must be reached.
var (
	TakeoverInBatch     = event("takeover while a batch was being committed")
	CommittedUnreported = event("committed, but the allocator was not told")
	CommittedUnreplied  = event("committed, but the reply was lost")
	ZombieFenced        = event("zombie fenced")
	EpochBumped         = event("epoch bumped")
	HoleOpened          = event("hole opened")
	GenerationContinued = event("decided in a later generation")
	TailLostUndecided   = event("tail lost beyond the cursor")
	CacheRefused        = event("cache refused truly")
	CacheProvedWinner   = event("cache proved a winner")
	CacheForgot         = event("cache forgot")
	DuplicatePack       = event("the same pack twice in the stream")
	LatePack            = event("pack arrived after it was given up")
	RepeatedCode        = event("repeated code answered from the record")
	SoldOutReached      = event("sold out")
	LimitReached        = event("limit reached")
	CodeExpired         = event("code expired")
	WinnerAskedAgain    = event("winner asked again after sold-out")
	PendingAnswered     = event("answered 202")
	UnqueuedAnswered    = event("answered 503")
	OpeningInterrupted  = event("scheduler crashed between two steps of an opening")
	OpeningRaced        = event("two schedulers published one opening record")
	ClockStepped        = event("stream clock stepped back")
	WarmTakeover        = event("takeover with a warm engine")
	RecorderRepeated    = event("attempts recorded twice")
)

// AllSometimes are these events.
var AllSometimes []Sometimes

func event(s Sometimes) Sometimes {
	AllSometimes = append(AllSometimes, s)
	return s
}

func (w *world) hit(s Sometimes) { w.sometimes[s]++ }
