package doctor

import (
	"time"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
)

// Report is what [Examine] found.
type Report struct {
	Path    string        `json:"path"`
	Kind    string        `json:"kind"`             // chain, tar, bolt
	Dialect chain.Dialect `json:"dialect"`          // of the manifests
	Server  string        `json:"server,omitempty"` // number of the cluster, the same in all backups of a server
	Layers  []Layer       `json:"layers"`
	Points  []Point       `json:"points"`
	Checked Checked       `json:"checked"`
	// Findings are in the order of the chain: first the whole, then layer by
	// layer, then single files.
	Findings []Finding `json:"findings"`
}

// Sound reports whether there is nothing but notes.
func (r *Report) Sound() bool {
	for _, f := range r.Findings {
		if f.Level != Note {
			return false
		}
	}
	return true
}

// Finding is one thing that is worth to be told.
type Finding struct {
	Code  Code           `json:"code"`
	Level Level          `json:"level"`
	Layer string         `json:"layer,omitempty"` // name of the layer
	File  string         `json:"file,omitempty"`  // on disk
	Name  string         `json:"name,omitempty"`  // path of a file in the layer
	Class boltview.Class `json:"class,omitempty"` // of a Bolt file
	Text  string         `json:"text"`            // a sentence without a full stop
	Hint  string         `json:"hint,omitempty"`  // what to type
}

// Layer is what one tar holds.
type Layer struct {
	Name     string    `json:"name"`
	Path     string    `json:"path"`
	Bytes    int64     `json:"bytes"`            // of the tar
	Time     time.Time `json:"time,omitzero"`    // of the backup: when its first header was written
	Seconds  int64     `json:"duration_seconds"` // from the first header to the last; what the last member took is not known
	Members  int       `json:"members"`          // without the manifest
	Added    int       `json:"added"`            // files that were not there before
	Replaced int       `json:"replaced"`         // files with a newer copy
	// Whole, Cut and Absent count the files of the layer, by its members and its
	// manifest: all bytes there, some, none.
	Whole  int `json:"whole"`
	Cut    int `json:"cut"`
	Absent int `json:"absent"`
	// Unknown says that there may have been more, since the manifest is lost.
	Unknown bool `json:"unknown,omitempty"`
}

// Verdict says whether a point in time can be restored.
type Verdict string

// The verdicts.
const (
	Whole    Verdict = "whole" // all that the server sent is there
	WithLoss Verdict = "loss"  // but for what [Point.Lost] says
	Not      Verdict = "not"   // the layer holds nothing, or is of another server
)

// Point is the verdict on a point in time.
type Point struct {
	Name    string    `json:"name"`
	Time    time.Time `json:"time,omitzero"`
	Files   int       `json:"files"` // in the view
	Verdict Verdict   `json:"verdict"`
	Why     string    `json:"why,omitempty"`  // for [Not]
	Lost    []Loss    `json:"lost,omitempty"` // in the order of paths
}

// Loss is a file, or a layer, that a point lacks in whole or in part.
type Loss struct {
	Path  string `json:"path,omitempty"` // empty if it is not known what is lost
	Layer string `json:"layer"`
	Code  Code   `json:"code"`
	Text  string `json:"text"` // what is lost, and what is not
}

// Checked counts what was looked at.
type Checked struct {
	Layers int   `json:"layers"`
	Files  int   `json:"files"`          // members, the manifests left out
	Bolt   int   `json:"bolt"`           // Bolt files among them
	Sound  int   `json:"sound"`          // of those
	Trees  int   `json:"trees"`          // Bolt files of which every page was checked
	Shards int   `json:"shards"`         // shards of which every point was decoded
	Points int64 `json:"points"`         // that were decoded
	Bytes  int64 `json:"bytes"`          // of the tars
	Seed   int64 `json:"seed,omitempty"` // of the sample
}
