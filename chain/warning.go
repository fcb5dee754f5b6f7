package chain

import "fmt"

// Code says what kind of oddity a [Warning] is about. Codes are stable.
type Code string

const (
	Gap              Code = "gap"               // numbers beyond a missing one, which no tool of the time reads
	Pending          Code = "pending"           // an unfinished backup, never merged
	Incremental      Code = "incremental"       // the path given looks like an incremental of another chain
	EmptyLayer       Code = "empty-layer"       // a file of zero bytes, which the old client called a success
	BadLayer         Code = "bad-layer"         // no tar at all
	Compressed       Code = "compressed"        // a compressed tar, which must be unpacked first
	BadHeader        Code = "bad-header"        // something else where a header must be; what follows it is lost
	Truncated        Code = "truncated"         // a tar that ends too early
	NoEndMark        Code = "no-end-mark"       // complete members, but not the two zero blocks after them
	NoManifest       Code = "no-manifest"       // a tar among layers with a manifest that has none
	BadManifest      Code = "bad-manifest"      // a manifest that cannot be read
	ManifestNotFirst Code = "manifest-position" // the manifest is not the first member
	Missing          Code = "missing-member"    // in the manifest, not in the tar
	Unlisted         Code = "unlisted-member"   // in the tar, not in the manifest
	SizeMismatch     Code = "size-mismatch"     // manifest and tar disagree about a size
	TimeOrder        Code = "time-order"        // a layer whose backup time is before that of the one it follows
	CutMember        Code = "cut-member"        // the tar ends within the data of this member
	EscapedName      Code = "escaped-name"      // a name that cannot be a path as it is, such as "../default/1"
	Duplicate        Code = "duplicate-member"  // a later member of the same name hides this one
	NoTarget         Code = "no-target"         // a hard link to a member that is not there
	Appended         Code = "appended"          // something follows the end mark

	// These are warnings only with [Options.Keep], and errors without.
	NoFull       Code = "no-full"       // incrementals whose full snapshot is not there
	Unreadable   Code = "unreadable"    // a file that cannot be opened or read
	MixedDialect Code = "mixed-dialect" // a layer of another dialect than those before it
)

// Warning is something odd about a chain that does not keep it from being used.
type Warning struct {
	Code  Code   `json:"code"`
	Layer string `json:"layer,omitempty"` // name of the layer, "" if of the whole chain
	File  string `json:"file,omitempty"`  // path of the file on disk
	Name  string `json:"name,omitempty"`  // member it is about, as in the tar
	Text  string `json:"text"`            // a sentence without a full stop
	Hint  string `json:"hint,omitempty"`  // what can be done
}

func (w Warning) String() string {
	if w.Layer == "" {
		return w.Text
	}
	return fmt.Sprintf("layer %s: %s", w.Layer, w.Text)
}
