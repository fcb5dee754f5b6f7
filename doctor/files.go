package doctor

import (
	"errors"
	"fmt"
	"hash/fnv"
	"path"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

// job is one file of a layer to be looked at.
type job struct {
	layer *chain.Layer
	file  chain.File
	path  string         // in the tree of the layer
	shard *dataset.Shard // nil if it is none
	depth Depth
	result
}

// result is what became of a job.
type result struct {
	bolt, decoded bool
	trees         int // 1 if every page was checked
	points        int64
	code          Code // "" if nothing is wrong
	class         boltview.Class
	text, hint    string
	fault         string // the first, in words
	kept          string // what can be read
	notes         []note
}

// note is what a result has to tell besides.
type note struct {
	code Code
	text string
}

// files looks at each file of each layer, several at once.
func (e *exam) files() error {
	e.latest = map[string]*chain.Layer{}
	for f := range e.tree.View().Files() {
		e.latest[f.Name] = f.Layer
	}
	jobs, total := e.jobs()
	if e.ctx.Err() != nil {
		return e.ctx.Err()
	}
	var mu sync.Mutex
	done := int64(0)
	g, ctx := errgroup.WithContext(e.ctx)
	g.SetLimit(e.opts.Workers)
	for i := range jobs {
		g.Go(func() error {
			j := &jobs[i]
			if err := ctx.Err(); err != nil {
				return err
			}
			e.look(j)
			mu.Lock()
			defer mu.Unlock()
			if done += j.file.Size; e.opts.Progress != nil {
				e.opts.Progress(done, total)
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c := &e.report.Checked
	for i := range jobs {
		j := &jobs[i]
		c.Files++
		c.Trees += j.trees
		c.Points += j.points
		if j.decoded {
			c.Shards++
		}
		if j.bolt {
			c.Bolt++
			if j.code == "" {
				c.Sound++
			}
		}
		for _, n := range j.notes {
			e.add(n.code, j.layer, j.path, "", "%s", n.text)
		}
		if j.code == "" {
			continue
		}
		text := j.text
		if j.kept != "" {
			text += "; " + j.kept
		}
		if j.code.Level() == Error {
			e.lose(j.layer, j.file.Name, j.code, text)
		}
		if j.fault != "" && j.code != Torn { // the faults of torn files are all alike
			text += "; " + j.fault
		}
		e.add(j.code, j.layer, j.path, j.hint, "%s: %s", j.path, text).Class = j.class
	}
	return nil
}

// jobs lists what there is to be looked at, and the bytes of it.
func (e *exam) jobs() (jobs []job, total int64) {
	for _, l := range e.layers {
		if l.Index() == nil {
			continue
		}
		data := e.tree.LayerData(l)
		v := data.View()
		shards := map[string]*dataset.Shard{}
		for _, sh := range data.Shards() {
			shards[sh.Path] = sh
		}
		for f := range v.Files() {
			if e.ctx.Err() != nil {
				return nil, 0
			}
			if _, lost := e.damaged[copyOf{l.Name, f.Name}]; lost || f.Missing || !f.Mode.IsRegular() || f.Path == chain.ManifestName || f.Path == metaName && e.report.Dialect == chain.ByTime {
				continue
			}
			j := job{layer: l, file: f, path: v.TreePath(f), depth: e.opts.Depth}
			j.shard = shards[j.path]
			if e.opts.Sample > 0 && !chosen(l.Name, f.Name, e.opts.Sample, e.opts.Seed) {
				j.depth = Signs
			}
			jobs = append(jobs, j)
			total += f.Size
		}
	}
	return jobs, total
}

// chosen reports whether a file belongs to a sample.
func chosen(layer, name string, share float64, seed int64) bool {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%s", seed, layer, name)
	// The high bits of FNV hardly differ for names that differ at their end.
	x := h.Sum64()
	x ^= x >> 32
	x *= 0x9E3779B97F4A7C15
	return float64(x>>11)/(1<<53) < share
}

// look looks at one file.
func (e *exam) look(j *job) {
	name := path.Join(space.Control, "layers", j.layer.Name, j.path)
	open := func() (*boltview.DB, error) { return e.tree.Bolt(name) }
	if j.shard != nil {
		open = j.shard.Bolt // what its points are read from
	}
	db, err := open()
	isShard := j.shard != nil || j.file.Path == metaName
	switch {
	case err == nil:
	case errors.Is(err, boltview.ErrNotBolt):
		e.notBolt(j, isShard)
		return
	case !isShard:
		j.code, j.text, j.hint = OddMember, err.Error(), "tar -tvf "+hint.Quote(j.layer.Path)
		return
	default:
		j.bolt, j.class = true, boltview.ClassE
		text := strings.TrimPrefix(err.Error(), j.path+": ") // which is told anyway
		j.code, j.text, j.hint = BoltDamage, text, "snapfs bolt check "+hint.Quote(e.report.Path)
		return
	}
	j.result = e.bolt(db, j.depth)
	j.bolt = true
	at := fmt.Sprintf("%s %s", hint.Quote(e.report.Path), hint.Quote(name))
	if j.code != "" {
		j.hint = "snapfs bolt repair " + at + " -o sound.db; of all: snapfs restore --damaged repair " + hint.Quote(e.report.Path) + " --target DIR"
	}
	if j.shard == nil {
		return
	}
	engine, err := j.shard.Decodable()
	if err != nil && j.code == "" && !e.other && e.report.Dialect != chain.Unknown {
		j.code, j.text, j.hint = UnknownEngine, fmt.Sprintf("a Bolt file, but no shard that can be decoded: %v", err), "look into it: snapfs bolt buckets "+at
	}
	if err != nil {
		return
	}
	e.tail(j, engine)
	// Of damaged shards the points are what is to be told, in any depth.
	if j.depth == Points || j.code.Level() == Error && j.code != "" {
		e.count(j)
	}
}

// notBolt tells of a file that is no Bolt file, if it should be one.
func (e *exam) notBolt(j *job, isShard bool) {
	todo := fmt.Sprintf("look at it: snapfs cat %s %s | xxd | head", hint.Quote(e.report.Path), hint.Quote(path.Join(space.Control, "layers", j.layer.Name, j.path)))
	if j.shard != nil {
		if engine, _ := j.shard.Decodable(); engine == influx.TSM1 {
			j.code, j.text = TSM1, "of engine tsm1, whose points are not decoded"
			j.hint = "snapfs restore copies it: snapfs restore " + hint.Quote(e.report.Path) + " --target DIR"
			return
		}
	}
	switch {
	case e.report.Dialect == chain.Unknown:
	case isShard && j.file.Size == 0:
		j.code, j.text, j.hint = NotBolt, "empty, and no Bolt file", todo
	case isShard:
		j.code, j.text, j.hint = NotBolt, "a shard by its name, but no Bolt file", todo
	default:
		j.code, j.text, j.hint = OddMember, "neither metadata nor a shard", todo
	}
}

// bolt checks a Bolt file.
func (e *exam) bolt(db *boltview.DB, depth Depth) (r result) {
	if depth == Signs {
		info := db.Info()
		if info.Class == "" || info.Class == boltview.ClassA {
			return r
		}
		r.class = info.Class
		r.code = damageCode(info)
		r.text = "class " + r.class.String()
		return r
	}
	r.trees = 1
	faults := 0
	var first boltview.Fault
	for f := range db.Check() {
		if faults++; faults == 1 || f.Kind.Tree() && !first.Kind.Tree() {
			first = f
		}
		if e.ctx.Err() != nil {
			return r
		}
	}
	if faults == 0 {
		return r
	}
	r.class = db.Class()
	info := db.Info()
	info.Class = r.class
	r.code = damageCode(info)
	r.text, r.fault = "class "+r.class.String(), first.String()
	if faults > 1 {
		r.fault += "; and " + count(int64(faults-1), "faults") + " more"
	}
	return r
}

// damageCode tells a torn file from one that is damaged otherwise. A valid meta
// that knows more pages than were copied is the sign of a hot copy: all torn
// files that were ever looked at have it, and no sound one.
func damageCode(i boltview.Info) Code {
	for _, m := range i.Metas {
		if m.State == "ok" && m.HighWater > i.Pages {
			return Torn
		}
	}
	if i.Class == boltview.ClassA || i.Class == boltview.ClassB {
		return BoltFlaw
	}
	return BoltDamage
}

// count decodes all points of a shard.
func (e *exam) count(j *job) {
	c, err := j.shard.Count(e.ctx)
	if err != nil {
		return
	}
	j.decoded, j.points = true, c.Points
	switch {
	case j.code != "":
		j.kept = fmt.Sprintf("%s of %d series can be read", count(c.Points, "points"), c.Series)
		if c.Errors > 0 {
			j.kept += ", " + count(c.Errors, "parts") + " cannot"
		}
	case c.Errors == 0:
	case c.Errors == c.Left && errors.Is(c.Err, influx.ErrDropped):
		j.notes = append(j.notes, note{DroppedSeries, fmt.Sprintf("points of series that the server had dropped: %v", c.Err)})
	case c.Errors == c.Left:
		j.notes = append(j.notes, note{Undefined, fmt.Sprintf("%s with fields that no copy of the shard defines; the first: %v", count(c.Errors, "points"), c.Err)})
	default:
		j.code, j.text = Undecodable, fmt.Sprintf("%s of points that cannot be decoded; the first: %v", count(c.Errors-c.Left, "parts"), errors.Unwrap(c.Err))
		j.hint = "all others can be had: snapfs export --lp-only " + hint.Quote(e.report.Path)
	}
}

// tail notes a shard whose newest points were only in the log of the server: of
// engine bz1, and backed up before its group had ended.
func (e *exam) tail(j *job, engine influx.Engine) {
	l := e.layers[len(e.layers)-1]
	if engine != influx.BZ1 || l.Time.IsZero() || j.shard.End.IsZero() || !j.shard.End.After(l.Time) {
		return
	}
	if e.latest[j.file.Name] != j.layer {
		return
	}
	j.notes = append(j.notes, note{OpenTail, fmt.Sprintf("%s was still written to (its group ends at %s): points that were only in the log of the server are in no snapshot", j.path, stamp(j.shard.End))})
}
