package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/influx"
)

// Source is what a [Set] is made from.
type Source struct {
	View *chain.View

	// Metas are the metadata that may know a shard, the newest first.
	Metas []*influx.Meta
	// Dropped includes series that were dropped and that shards of release
	// candidates still have.
	Dropped bool

	// Bolt opens a Bolt file of the view by its path. It is called concurrently.
	Bolt func(path string) (*boltview.DB, error)

	// Copies returns the other copies of a file that the chain has, the newest
	// first: servers wrote the definitions of fields later than the points.
	// Nil if there are none.
	Copies func(path string) []*boltview.DB
}

// Set is the data of a view. Its methods may be called concurrently.
type Set struct {
	src       Source
	candidate bool // of a server that was a release candidate
	shards    []*Shard
	lost      []Lost
}

// Shard is a file with points.
type Shard struct {
	Path     string    `json:"path"`
	ID       uint64    `json:"id"`
	Database string    `json:"database"` // "" if nothing tells
	Policy   string    `json:"policy"`
	Start    time.Time `json:"start,omitzero"` // of its shard group; zero if no metadata know it
	End      time.Time `json:"end,omitzero"`   // first moment that is not in it
	Size     int64     `json:"size"`           // bytes
	Ghost    string    `json:"ghost,omitempty"`
	Layer    string    `json:"layer"`

	meta *influx.Meta // that knows it; nil if none does
	bolt func() (*boltview.DB, error)
	open func() (*influx.Shard, error)
	keys func() (n int, sorted bool) // see countKeys; counted once
}

// Lost is a shard that the newest metadata know and no layer holds. Servers
// made shard groups in advance, so that an empty one is no loss.
type Lost struct {
	ID       uint64    `json:"id"`
	Database string    `json:"database"`
	Policy   string    `json:"policy"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
}

// ShardError is what went wrong in a shard.
type ShardError struct {
	Path string // of the shard
	Err  error
}

func (e *ShardError) Error() string {
	// The cause may name the file itself.
	return e.Path + ": " + strings.TrimPrefix(e.Err.Error(), e.Path+": ")
}

// Unwrap returns Err.
func (e *ShardError) Unwrap() error { return e.Err }

// New returns the data of a view. It reads nothing yet.
func New(src Source) *Set {
	s := &Set{src: src, candidate: src.View.Manifest().Dialect == chain.ByIndex}
	known := map[uint64]bool{}
	for f := range src.View.Files() {
		sh, ok := s.shard(f)
		if !ok {
			continue
		}
		known[sh.ID] = true
		s.shards = append(s.shards, sh)
	}
	slices.SortStableFunc(s.shards, func(a, b *Shard) int {
		return cmp.Or(strings.Compare(a.Database, b.Database), strings.Compare(a.Policy, b.Policy), a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID), strings.Compare(a.Path, b.Path))
	})
	if len(src.Metas) > 0 {
		s.lost = lost(src.Metas[0], known)
	}
	return s
}

// shard describes a file, if it may be one.
func (s *Set) shard(f chain.File) (*Shard, bool) {
	if !f.Mode.IsRegular() {
		return nil, false
	}
	name := f.Name
	if strings.HasPrefix(path.Ext(name), ".tsm") {
		name = path.Dir(name) // a shard of tsm1 is a directory
	}
	dir, base := path.Split(name)
	id, err := strconv.ParseUint(base, 10, 64)
	if err != nil || dir == "" {
		return nil, false
	}
	sh := &Shard{Path: s.src.View.TreePath(f), ID: id, Size: f.Size, Ghost: f.Ghost, Layer: f.Layer.Name}
	candidate := s.candidate && name == "shards/"+base
	for _, m := range s.src.Metas {
		// Servers of the final releases joined the names to a path, and cleaned
		// it. Another path is that of another shard with the number.
		p, ok := m.Shard(id)
		if ok && (candidate || path.Join(p.Database.Name, p.Policy.Name, base) == path.Clean(name)) {
			sh.meta, sh.Database, sh.Policy = m, p.Database.Name, p.Policy.Name
			sh.Start, sh.End = p.Group.Start, p.Group.End
			break
		}
	}
	if sh.meta == nil && !candidate {
		sh.Database, sh.Policy = SplitPath(name)
	}
	sh.bolt = sync.OnceValues(func() (*boltview.DB, error) { return s.src.Bolt(sh.Path) })
	sh.open = sync.OnceValues(func() (*influx.Shard, error) { return s.openShard(sh) })
	sh.keys = sync.OnceValues(sh.countKeys)
	return sh, true
}

// SplitPath returns the database and policy in the name of a shard of the final
// releases: database, policy, number. Both names may themselves have slashes;
// the database is taken to be the one that has.
func SplitPath(name string) (database, policy string) {
	dir, _ := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	i := strings.LastIndexByte(dir, '/')
	if i < 0 {
		return "", dir
	}
	return dir[:i], dir[i+1:]
}

func (s *Set) openShard(sh *Shard) (*influx.Shard, error) {
	db, err := sh.bolt()
	if errors.Is(err, boltview.ErrNotBolt) && s.isTSM1(sh.Path) {
		err = errTSM1
	}
	if err != nil {
		return nil, &ShardError{sh.Path, err}
	}
	opts := influx.ShardOptions{Meta: sh.meta, ID: sh.ID, Database: sh.Database, Dropped: s.src.Dropped}
	if i := slices.Index(s.src.Metas, sh.meta); i >= 0 {
		opts.Older = s.src.Metas[i+1:]
	}
	if s.src.Copies != nil {
		copies := sync.OnceValue(func() []*influx.Shard { return s.copies(sh) })
		opts.Fields = func(measurement string) []influx.Field {
			for _, c := range copies() {
				// What a copy cannot tell another may.
				if f, _ := c.Fields(measurement); len(f) > 0 {
					return f
				}
			}
			return nil
		}
	}
	shard, err := influx.OpenShard(db, opts)
	if err != nil {
		return nil, &ShardError{sh.Path, err}
	}
	return shard, nil
}

// isTSM1 reports whether a file is of engine tsm1.
func (s *Set) isTSM1(name string) bool {
	f, err := s.src.View.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	fi, err := f.Stat()
	r, ok := f.(io.ReaderAt)
	if !ok || err != nil {
		return false
	}
	e, err := influx.DetectEngine(r, fi.Size())
	return err == nil && e == influx.TSM1
}

func (s *Set) copies(sh *Shard) []*influx.Shard {
	var out []*influx.Shard
	for _, db := range s.src.Copies(sh.Path) {
		if c, err := influx.OpenShard(db, influx.ShardOptions{Meta: sh.meta, ID: sh.ID, Database: sh.Database}); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// lost returns the shards of the metadata that are not there.
func lost(m *influx.Meta, known map[uint64]bool) []Lost {
	var out []Lost
	for _, db := range m.Databases {
		for _, p := range db.Policies {
			for _, g := range p.Groups {
				for _, sh := range g.Shards {
					if !known[sh.ID] && g.DeletedAt.IsZero() {
						out = append(out, Lost{sh.ID, db.Name, p.Name, g.Start, g.End})
					}
				}
			}
		}
	}
	return out
}

// View returns the view that the data are of.
func (s *Set) View() *chain.View { return s.src.View }

// Shards returns the shards, sorted by database, policy and time.
func (s *Set) Shards() []*Shard { return slices.Clone(s.shards) }

// Lost returns the shards that the metadata know and no layer holds.
func (s *Set) Lost() []Lost { return slices.Clone(s.lost) }

// Bolt opens the file of the shard, once; what [Shard.Open] returns reads from
// it. The error is that of [Source].
func (sh *Shard) Bolt() (*boltview.DB, error) { return sh.bolt() }

// Open opens the shard, once. The error is a [*ShardError]; it matches
// [influx.ErrEngine] if the file is no shard that can be decoded.
func (sh *Shard) Open() (*influx.Shard, error) { return sh.open() }

// Decodable reports whether points can be had of the shard; if not, err says
// why. For a shard of tsm1, which is not decoded, it returns that engine besides
// an error that matches [influx.ErrEngine].
func (sh *Shard) Decodable() (engine influx.Engine, err error) {
	shard, err := sh.Open()
	if errors.Is(err, errTSM1) {
		return influx.TSM1, err
	}
	if err != nil {
		return "", err
	}
	return shard.Engine(), nil
}

// span returns the first and last nanosecond of the shard's group.
func (sh *Shard) span() (first, last int64, ok bool) {
	if sh.Start.IsZero() || sh.End.IsZero() {
		return math.MinInt64, math.MaxInt64, false
	}
	return nanos(sh.Start), nanos(sh.End) - 1, true
}

// nanos returns a time in nanoseconds since 1970, clamped to what fits.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64 + 1
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// errTSM1 is the cause for files of engine tsm1.
var errTSM1 = fmt.Errorf("%w: engine %s", influx.ErrEngine, influx.TSM1)

func shardError(sh *Shard, err error) error {
	var e *ShardError
	if errors.As(err, &e) {
		return err
	}
	return &ShardError{sh.Path, fmt.Errorf("%w", err)}
}
