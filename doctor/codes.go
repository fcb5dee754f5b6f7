package doctor

import "github.com/snapfs/snapfs/chain"

// Code says what a [Finding] is about. Codes are stable. Those of package chain
// are codes as well.
type Code string

const (
	ForeignLayer   Code = "foreign-layer"     // a layer of another server than those before it
	StaleEntry     Code = "stale-entry"       // an incremental holds copies that are no newer than those it should add to
	Tie            Code = "tie"               // two layers have copies of one age that differ; the earlier counts
	ClockJump      Code = "clock-jump"        // times that a clock which only runs forward does not give
	NoTime         Code = "no-time"           // a layer that does not tell when it was taken
	StrayFile      Code = "stray-file"        // a file that looks like a layer and that no tool reads
	Permission     Code = "permission"        // a file that others than its owner, or nobody but root, can read
	ManifestOrder  Code = "manifest-order"    // members or manifest entries that are not in the order of their names
	DuplicateEntry Code = "duplicate-entry"   // a name that is in the manifest twice
	OddMember      Code = "odd-member"        // a member of a kind that servers do not write
	Padding        Code = "padding"           // bytes behind the data of a member that are not zero
	EmptyIncrement Code = "empty-incremental" // a layer with nothing but a manifest: nothing had changed
	UnknownLoss    Code = "unknown-loss"      // what a layer held cannot be told
	NoMeta         Code = "no-meta"           // no metadata at all
	NoInfluxDB     Code = "no-influxdb"       // no metadata, and no shard that should have any: Bolt files of another program
	EmptyMeta      Code = "empty-meta"        // metadata that know nothing, as right after the start of a server
	BadMeta        Code = "bad-meta"          // metadata that cannot be decoded
	Ghost          Code = "ghost"             // shards that the server had dropped
	LostShard      Code = "lost-shard"        // shards that the metadata know and no layer holds
	Precreated     Code = "precreated-shard"  // shards made in advance, still empty
	NotBolt        Code = "not-bolt"          // a shard that is no Bolt file
	TSM1           Code = "tsm1"              // a shard of an engine that is not decoded
	UnknownEngine  Code = "unknown-engine"    // a Bolt file that is a shard by its name but not by its buckets
	Torn           Code = "torn"              // a hot copy: its metas name pages that were not copied
	BoltDamage     Code = "bolt-damage"       // pages of a Bolt file are wrong; keys are lost or in doubt
	BoltFlaw       Code = "bolt-flaw"         // a meta or the free list is wrong; all keys can be read
	Undecodable    Code = "undecodable"       // points that do not decode
	Undefined      Code = "undefined-field"   // points with fields that no copy of the shard defines
	BitRot         Code = "bit-rot"           // bytes that are not what they were when the snapshot was sealed
	SealMissing    Code = "seal-missing"      // a layer that was sealed and is not there
	SealNew        Code = "seal-new"          // a layer that was not sealed
	DroppedSeries  Code = "dropped-series"    // points of series that a release candidate had dropped
	OpenTail       Code = "bz1-tail"          // points that were only in the log of the server are in no snapshot
)

// Level says how much a [Finding] matters.
type Level string

// The levels of findings.
const (
	Error   Level = "error"   // data are lost or in doubt
	Warning Level = "warning" // not as servers write it; nothing is lost by it
	Note    Level = "note"    // as servers write it, but it may surprise
)

// levels has the level of each code; what is not in here is a warning.
var levels = map[Code]Level{
	code(chain.Gap):          Error,
	code(chain.EmptyLayer):   Error,
	code(chain.BadLayer):     Error,
	code(chain.BadHeader):    Error,
	code(chain.Compressed):   Error,
	code(chain.Truncated):    Error,
	code(chain.BadManifest):  Error,
	code(chain.Missing):      Error,
	code(chain.CutMember):    Error,
	code(chain.NoFull):       Error,
	code(chain.Unreadable):   Error,
	code(chain.MixedDialect): Error,
	code(chain.EscapedName):  Note,

	ForeignLayer:   Error,
	EmptyIncrement: Note,
	UnknownLoss:    Error,
	NoMeta:         Error,
	NoInfluxDB:     Note,
	EmptyMeta:      Note,
	BadMeta:        Error,
	Ghost:          Note,
	LostShard:      Error,
	Precreated:     Note,
	NotBolt:        Error,
	Torn:           Error,
	BoltDamage:     Error,
	Undecodable:    Error,
	Undefined:      Note,
	DroppedSeries:  Note,
	OpenTail:       Note,
	BitRot:         Error,
	SealMissing:    Error,
	SealNew:        Note,
}

func code(c chain.Code) Code { return Code(c) }

// Level returns how much findings of the code matter.
func (c Code) Level() Level {
	if l, ok := levels[c]; ok {
		return l
	}
	return Warning
}
