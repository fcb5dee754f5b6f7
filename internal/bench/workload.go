package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/snaptar"
)

// Workload is a chain of tars with contents that nobody can compress.
type Workload struct {
	Name, Title string

	Files    int   // in the full snapshot, and in the merged view
	Size     int64 // of each in bytes
	PerDir   int
	Layers   int
	Replaced int // files in each incremental

	Keys int // of one Bolt file, instead of all that
}

// Workloads returns what is measured. At scale 1 they have the sizes that the
// documentation speaks of; at others the number of their files, and below that
// the size of the big ones as well, is in proportion.
func Workloads(scale float64) []Workload {
	n := func(full, least int) int { return max(least, int(float64(full)*scale)) }
	big := int64(n(64, 8)) << 20
	return []Workload{
		{Name: "big", Title: "few big files", Files: n(8, 2), Size: min(big, 64<<20), PerDir: 40, Layers: 1},
		{Name: "small", Title: "many small files", Files: n(200_000, 200), Size: 4 << 10, PerDir: 100, Layers: 1},
		{Name: "chain", Title: "long chain", Files: n(2000, 40), Size: 4 << 10, PerDir: 100, Layers: n(51, 3), Replaced: n(2000, 40)},
		{Name: "bolt", Title: "one Bolt file of many keys", Files: 1, Layers: 1, Keys: n(1_000_000, 2000)},
	}
}

// Data is a workload on disk.
type Data struct {
	Workload
	Tars  []string // oldest first
	Paths []string // of the files in the merged view, without manifest and meta
	Bytes int64    // of these files
}

// start is the backup time of every full snapshot.
var start = time.Date(2015, 11, 1, 3, 4, 5, 0, time.UTC)

// Generate writes the workload into dir, which must exist and not hold it yet.
func (w Workload) Generate(ctx context.Context, dir string) (*Data, error) {
	d := &Data{Workload: w}
	rng := rand.New(rand.NewPCG(1, uint64(len(w.Name))))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	var bolt []byte
	if w.Keys > 0 {
		var err error
		if bolt, err = sample.Keys(dir, w.Keys); err != nil {
			return nil, fmt.Errorf("make a Bolt file: %w", err)
		}
		d.Size = int64(len(bolt))
	}
	for i := range w.Files {
		in := i / max(w.PerDir, 1)
		d.Paths = append(d.Paths, fmt.Sprintf("db%02d/rp%03d/%d", in/100, in%100, i+1))
	}
	d.Bytes = int64(len(d.Paths)) * d.Size
	for layer := range w.Layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		files := slices.Clone(d.Paths)
		if layer > 0 {
			rng.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
			files = files[:w.Replaced]
		}
		tar := filepath.Join(dir, "snap")
		if layer > 0 {
			tar = fmt.Sprintf("%s.%d", tar, layer-1)
		}
		d.Tars = append(d.Tars, tar)
		fill := func(b []byte) {
			if bolt != nil {
				copy(b, bolt)
				return
			}
			for len(b) > 0 {
				b = b[copy(b, noise[rng.IntN(len(noise)/2):]):]
			}
		}
		if err := writeTar(tar, files, d.Size, start.Add(time.Duration(layer)*time.Hour), fill); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// writeTar writes one layer: manifest, meta, and files of size bytes each.
func writeTar(path string, files []string, size int64, at time.Time, fill func([]byte)) error {
	m := chain.Manifest{Dialect: chain.ByTime}
	meta := make([]byte, 12) // of a server that has just started
	add := func(name string, size int64) {
		m.Files = append(m.Files, chain.ManifestFile{Name: name, Size: size, Stamp: chain.Stamp{Time: at}})
	}
	add("meta", int64(len(meta)))
	for _, name := range files {
		add(name, size)
	}
	slices.SortFunc(m.Files, func(a, b chain.ManifestFile) int { return strings.Compare(a.Name, b.Name) })

	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer f.Close() // after an error; else it is closed below
	w := snaptar.NewWriter(f)
	if err := w.Manifest(m, at); err != nil {
		return err
	}
	data := make([]byte, size)
	for _, mf := range m.Files {
		if err := w.Next(mf.Name, mf.Size, at); err != nil {
			return err
		}
		b := meta
		if mf.Name != "meta" {
			b = data
			fill(b)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}
