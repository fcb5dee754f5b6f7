package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// Options says what [Run] does. The zero value measures nothing of interest:
// Self and Dir must be set.
type Options struct {
	Self      []string // the command line of snapfs, without arguments
	Dir       string   // an empty directory; it is filled, and not cleaned up
	Scale     float64  // of the workloads; 1 is full size
	Runs      int      // rounds
	Workloads []string // names; none means all
	Subjects  []string // names, besides the baselines; none means all
	Timeout   time.Duration
	Progress  func(text string) // called before each step
}

// runner measures one workload.
type runner struct {
	Options
	data      *Data
	extracted string
	chain     *chain.Chain
	rng       *rand.Rand
	samples   map[string]map[string][]float64 // by measure and subject
	notes     map[string]string               // why a subject was given up
}

// Run makes the workloads and measures them. What cannot be measured, for it is
// not installed or fails, is noted in the result.
func Run(ctx context.Context, opts Options) (*Result, error) {
	res := &Result{Machine: machine(), Scale: opts.Scale, Runs: opts.Runs, Time: time.Now().UTC().Truncate(time.Second)}
	for _, w := range Workloads(opts.Scale) {
		if len(opts.Workloads) > 0 && !slices.Contains(opts.Workloads, w.Name) {
			continue
		}
		r := &runner{Options: opts, samples: map[string]map[string][]float64{}, notes: map[string]string{}}
		if err := r.workload(ctx, w); err != nil {
			return nil, fmt.Errorf("%s: %w", w.Title, err)
		}
		res.Workloads = append(res.Workloads, r.result())
	}
	return res, nil
}

func (r *runner) say(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

// workload measures one, round by round, another subject first each time.
func (r *runner) workload(ctx context.Context, w Workload) (err error) {
	dir := filepath.Join(r.Dir, w.Name)
	r.extracted = filepath.Join(dir, "extracted")
	r.Dir = dir
	// A mount may not lie in the directory of its tars.
	tars := filepath.Join(dir, "tars")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := errors.Join(os.MkdirAll(r.extracted, 0o755), os.Mkdir(tars, 0o755)); err != nil {
		return err
	}
	r.say("%s: make it", w.Title)
	if r.data, err = w.Generate(ctx, tars); err != nil {
		return err
	}
	if err := r.extract(ctx, r.extracted); err != nil {
		return err
	}
	if r.chain, err = chain.Open(r.data.Tars[0], chain.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.chain.Close()) }()

	subjects := []Subject{{Name: TarCommand}, {Name: Extracted}, {Name: Reread}, {Name: Pread}}
	if w.Keys > 0 {
		subjects = append(subjects, Subject{Name: Bbolt})
	}
	for _, s := range Mounts(r.Self) {
		if len(r.Subjects) == 0 || slices.Contains(r.Subjects, s.Name) {
			subjects = append(subjects, s)
		}
	}
	for round := range r.Runs {
		r.rng = rand.New(rand.NewPCG(1, uint64(round)))
		for i := range subjects {
			s := subjects[(i+round)%len(subjects)]
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.notes[s.Name] != "" {
				continue
			}
			r.say("%s: round %d of %d, %s", w.Title, round+1, r.Runs, s.Name)
			if err := r.slot(ctx, s); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.notes[s.Name] = err.Error()
			}
		}
	}
	return nil
}

// slot measures all of one subject, once.
func (r *runner) slot(ctx context.Context, s Subject) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("given up after %v", r.Timeout))
	defer cancel()
	switch s.Name {
	case TarCommand:
		return r.tar(ctx)
	case Extracted:
		// A system may take pages back that nobody asks for, and they come again
		// as those of Reread.
		if r.large() {
			if err := r.extract(ctx, r.extracted); err != nil {
				return err
			}
		}
		return r.files(ctx, s.Name, r.extracted)
	case Reread:
		return r.reread(ctx)
	case Pread:
		open, err := inTars(r.chain)
		if err != nil || r.data.Keys > 0 {
			return err
		}
		if err := r.cache(warm); err != nil {
			return err
		}
		return r.reads(ctx, s.Name, open)
	case Bbolt:
		return r.bbolt()
	}
	switch missing := s.missing(); {
	case missing != "":
		return fmt.Errorf("%s is not installed", missing)
	case !s.Chain && r.data.Layers > 1:
		return errors.New("shows one tar only")
	}
	return r.mounted(ctx, s)
}

func (r *runner) add(measure, subject string, v float64) {
	if r.samples[measure] == nil {
		r.samples[measure] = map[string][]float64{}
	}
	r.samples[measure][subject] = append(r.samples[measure][subject], v)
}

// cache drops all tars from the page cache, or fills it with them.
func (r *runner) cache(do func(path string) error) error {
	for _, tar := range r.data.Tars {
		if err := do(tar); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) extract(ctx context.Context, dir string) error {
	for _, tar := range r.data.Tars {
		if err := run(ctx, []string{"tar", "-xf", tar, "-C", dir}); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) tar(ctx context.Context) error {
	for _, c := range []struct {
		name  string
		cache func(string) error
	}{{"open, cold", drop}, {"open, warm", warm}} {
		if err := r.cache(c.cache); err != nil {
			return err
		}
		began := time.Now()
		for _, tar := range r.data.Tars {
			if err := run(ctx, []string{"tar", "-tf", tar}); err != nil {
				return err
			}
		}
		r.add(c.name, TarCommand, time.Since(began).Seconds())
	}
	return r.copy(ctx, TarCommand, func(dir string) error { return r.extract(ctx, dir) })
}

// copy measures what fills a directory with all files.
func (r *runner) copy(ctx context.Context, subject string, fill func(dir string) error) error {
	if r.data.Layers > 1 || r.data.Keys > 0 || len(r.data.Paths) > maxCopied {
		return nil
	}
	dir, err := os.MkdirTemp(r.Dir, "copy-")
	if err != nil {
		return err
	}
	began := time.Now()
	if err = fill(dir); err == nil {
		r.add("copy", subject, rate(r.data.Bytes, time.Since(began))/1e6)
	}
	return errors.Join(err, os.RemoveAll(dir), ctx.Err())
}

// files measures what is asked of a tree of plain files, or of a mount.
func (r *runner) files(ctx context.Context, subject, dir string) error {
	if r.data.Keys > 0 {
		return nil
	}
	if !r.large() {
		for _, name := range []string{"find and stat, first", "find and stat, again"} {
			v, err := walk(ctx, dir)
			if err != nil {
				return err
			}
			r.add(name, subject, v)
		}
		v, err := opens(ctx, dir, r.data.Paths, r.rng)
		if err != nil {
			return err
		}
		r.add("open, read 4 KiB, close", subject, v)
	} else if err := r.reads(ctx, subject, inDir(dir)); err != nil {
		return err
	}
	return r.copy(ctx, subject, func(to string) error {
		// With the modes of a mount nobody but root could remove it again.
		return run(ctx, []string{"cp", "-r", "--no-preserve=mode", dir + "/.", to})
	})
}

// large reports whether the files are so large that it counts how they are read.
func (r *runner) large() bool { return r.data.Keys == 0 && r.data.Size >= 1<<20 }

// reread measures the extracted files after they were read in from the disk.
func (r *runner) reread(ctx context.Context) error {
	if !r.large() {
		return nil
	}
	for _, do := range []func(string) error{drop, warm} {
		for _, p := range r.data.Paths {
			if err := do(filepath.Join(r.extracted, p)); err != nil {
				return err
			}
		}
	}
	return r.reads(ctx, Reread, inDir(r.extracted))
}

func (r *runner) reads(ctx context.Context, subject string, open func(string) (content, error)) error {
	if !r.large() {
		return nil
	}
	for _, name := range []string{"read, first", "read, again"} {
		v, err := sequential(ctx, open, r.data.Paths)
		if err != nil {
			return err
		}
		r.add(name, subject, v)
	}
	v, err := random(ctx, open, r.data.Paths, r.rng)
	if err != nil {
		return err
	}
	r.add("read 4 KiB at random", subject, v)
	return nil
}

// mounted measures a mount: twice how long it takes to get there, and then what
// it is like.
func (r *runner) mounted(ctx context.Context, s Subject) (err error) {
	if err := r.cache(drop); err != nil {
		return err
	}
	m, err := s.open(ctx, r.data, r.Dir)
	if err != nil {
		return err
	}
	r.add("open, cold", s.Name, m.took.Seconds())
	if err := m.close(); err != nil {
		return err
	}
	if err := r.cache(warm); err != nil {
		return err
	}
	if m, err = s.open(ctx, r.data, r.Dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	r.add("open, warm", s.Name, m.took.Seconds())
	if r.data.Keys > 0 && s.control {
		v, err := list(filepath.Join(m.dir, ".snapfs", "bolt", r.data.Paths[0], sample.KeysBucket))
		if err != nil {
			return err
		}
		r.add("list keys", s.Name, v)
	}
	if err := r.cache(warm); err != nil { // unless all of it still is
		return err
	}
	if err := r.files(ctx, s.Name, m.dir); err != nil {
		return err
	}
	now, peak := m.memory()
	r.add("memory", s.Name, float64(now)/1e6)
	r.add("memory, peak", s.Name, float64(peak)/1e6)
	return nil
}

// bbolt counts the keys of the Bolt file with the library that wrote it.
func (r *runner) bbolt() error {
	path := filepath.Join(r.extracted, r.data.Paths[0])
	if err := warm(path); err != nil {
		return err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	var n int64
	began := time.Now()
	err = db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(sample.KeysBucket))
		if b == nil {
			return fs.ErrNotExist
		}
		return b.ForEach(func(_, _ []byte) error { n++; return nil })
	})
	if err == nil {
		r.add("list keys", Bbolt, rate(n, time.Since(began)))
	}
	return err
}

// median returns the middle of some samples, NaN of none.
func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	switch n := len(s); {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return s[n/2]
	default:
		return (s[n/2-1] + s[n/2]) / 2
	}
}
