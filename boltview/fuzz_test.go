package boltview_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/boltview"
)

// soundFiles are what the fuzzer edits: small, with nested and inline buckets,
// overflow, branches and free pages, in two page sizes. They are kept as files,
// since bbolt writes the same buckets in another order each time, and what the
// fuzzer found would not be found again.
var soundFiles = sync.OnceValue(func() [][]byte {
	var files [][]byte
	for _, name := range []string{"testdata/sound-1024.db", "testdata/sound-4096.db"} {
		b, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		files = append(files, b)
	}
	return files
})

// TestSoundFiles checks that what is edited is sound before.
func TestSoundFiles(t *testing.T) {
	for i, b := range soundFiles() {
		db, err := boltview.Open(newReader(b), int64(len(b)), boltview.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for f := range db.Check() {
			t.Errorf("file %d: %v", i, f)
		}
		if n, err := db.Root().Count(); n == 0 || err != nil {
			t.Errorf("file %d: %d keys, %v", i, n, err)
		}
	}
}

// fixSum sets the checksum of the meta page that starts at off.
func fixSum(b []byte, off int) {
	m := b[off+16:]
	h := fnv.New64a()
	h.Write(m[:56])
	binary.LittleEndian.PutUint64(m[56:], h.Sum64())
}

// edited returns a copy of a sound file with the changes that edits asks for:
// the first byte chooses the file, then come runs of an offset and a value.
func edited(edits []byte) []byte {
	files := soundFiles()
	which := byte(0)
	if len(edits) > 0 {
		which = edits[0]
		edits = edits[1:]
	}
	b := append([]byte(nil), files[int(which&1)]...)
	pageSize := []int{1024, 4096}[which&1]
	for len(edits) >= 5 {
		at := int(binary.LittleEndian.Uint32(edits)) % len(b)
		v := edits[4]
		switch edits[3] >> 6 {
		case 0:
			b[at] = v
		case 1:
			b[at] ^= 1 << (v & 7)
		case 2: // a number that page headers and elements have
			at = at &^ 7
			binary.LittleEndian.PutUint64(b[at:], uint64(v))
		case 3: // a page over another
			from, to := int(v)%(len(b)/pageSize)*pageSize, at/pageSize*pageSize
			copy(b[to:min(to+pageSize, len(b))], b[from:])
			binary.LittleEndian.PutUint64(b[to:], uint64(to/pageSize))
		}
		edits = edits[5:]
	}
	if which&2 == 0 {
		fixSum(b, 0)
		fixSum(b, pageSize)
	}
	if which&4 != 0 {
		b = b[:len(b)-len(b)/(2+int(which>>3))]
	}
	return b
}

var errBudget = errors.New("budget")

// walkAll goes through all that b holds until steps run out.
func walkAll(b *boltview.Bucket, steps *int) error {
	for it, err := range b.All() {
		if *steps--; *steps < 0 {
			return errBudget
		}
		if err != nil {
			if !errors.Is(err, boltview.ErrCorrupt) {
				return err
			}
			continue
		}
		if !it.IsBucket() {
			*steps -= int(it.Size() / 256)
			if v, err := it.Value(); err != nil || int64(len(v)) != it.Size() {
				return fmt.Errorf("value of %q: %w", it.Key, err)
			}
			continue
		}
		sub, err := it.Bucket()
		if errors.Is(err, boltview.ErrCorrupt) {
			continue
		}
		if err == nil {
			err = walkAll(sub, steps)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// abuse does with a file what a user could, and fails on any error that does
// not say that the file is damaged.
func abuse(t *testing.T, db *boltview.DB, meta boltview.Meta) {
	db.Info()
	faults := 0
	for f := range db.Check() {
		if faults++; f.Text == "" || f.Path == "" || f.Kind == "" || f.String() == "" {
			t.Errorf("fault %+v", f)
		}
	}
	class := db.Class()
	if meta == boltview.MetaAuto && class == boltview.ClassA && faults > 0 && db.Info().Metas[0].State == "ok" && db.Info().Metas[1].State == "ok" {
		t.Errorf("class %s with %d faults", class, faults)
	}
	cands, err := db.Candidates()
	if err != nil {
		t.Errorf("candidates: %v", err)
	}
	for _, c := range cands {
		root, err := db.At(c.Page)
		if err == nil {
			steps := 5000
			err = walkAll(root, &steps)
		}
		if err != nil && err != errBudget {
			t.Errorf("candidate %d: %v", c.Page, err)
		}
	}
	steps := 20_000
	if err := walkAll(db.Root(), &steps); err != nil && err != errBudget {
		t.Errorf("walk: %v", err)
	}
	db.Root().Count()
	steps = 5_000
	fsys := db.FS(boltview.FSOptions{})
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if steps--; steps < 0 {
			return errBudget
		}
		if err != nil {
			// A key that is there twice may be a bucket in the listing, and a
			// value when it is looked up.
			if fi, serr := fsys.Stat(name); errors.Is(err, boltview.ErrCorrupt) || serr == nil && !fi.IsDir() {
				return nil
			}
			return err
		}
		if !d.IsDir() {
			f, err := fsys.Open(name)
			// In a tree with damage or keys out of order not every name that is
			// listed is found.
			if errors.Is(err, boltview.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			// And the other way round.
			if fi, err := f.Stat(); err != nil || fi.IsDir() {
				return errors.Join(err, f.Close())
			}
			n, err := io.Copy(io.Discard, f)
			steps -= int(n / 256)
			return errors.Join(err, f.Close())
		}
		return nil
	})
	if err != nil && !errors.Is(err, errBudget) && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("walk of the tree: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{1, 0, 16, 0, 128, 3, 0, 32, 0, 64, 1})
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		f.Add(append([]byte{byte(r.Uint32())}, randomBytes(r, 5*(1+r.IntN(12)))...))
	}
	f.Fuzz(abuseEdits)
}

// abuseEdits opens the file that edits make, in each way there is.
func abuseEdits(t *testing.T, edits []byte) {
	b := edited(edits)
	for m := boltview.MetaAuto; m <= boltview.MetaSalvage; m++ {
		db, err := boltview.Open(newReader(b), int64(len(b)), boltview.Options{Meta: m})
		if err != nil {
			if !errors.Is(err, boltview.ErrNotBolt) && !errors.Is(err, boltview.ErrCorrupt) {
				t.Fatal(err)
			}
			continue
		}
		abuse(t, db, m)
		// Whatever is wrong, a file called whole must be.
		if m == boltview.MetaAuto && db.Info().Class != "" && db.Info().Class != boltview.ClassE {
			steps := 20_000
			if err := walkWhole(db.Root(), &steps); err != nil && err != errBudget {
				t.Errorf("class %s: %v", db.Info().Class, err)
			}
		}
	}
}

// walkWhole is walkAll for a tree that must have no damage.
func walkWhole(b *boltview.Bucket, steps *int) error {
	for it, err := range b.All() {
		if *steps--; *steps < 0 {
			return errBudget
		}
		if err != nil {
			return err
		}
		if it.IsBucket() {
			sub, err := it.Bucket()
			if err == nil {
				err = walkWhole(sub, steps)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// TestEdits is the fuzz target on random edits, some thousand of them.
func TestEdits(t *testing.T) {
	r := newRand(t, 0)
	n := 400
	if testing.Short() {
		n = 60
	}
	for range n {
		edits := append([]byte{byte(r.Uint32())}, randomBytes(r, 5*(1+r.IntN(30)))...)
		abuseEdits(t, edits)
		if t.Failed() {
			t.Fatalf("edits %x", edits)
		}
	}
}

// TestCut opens all prefixes of a file that end at, before and behind a page.
func TestCut(t *testing.T) {
	whole := soundFiles()[0]
	for n := range len(whole)/512 + 1 {
		for _, size := range []int{n*512 - 1, n * 512, n*512 + 1} {
			if size < 0 || size > len(whole) {
				continue
			}
			db, err := boltview.Open(newReader(whole[:size]), int64(size), boltview.Options{})
			if err != nil {
				if !errors.Is(err, boltview.ErrNotBolt) || size >= 2048 {
					t.Fatalf("%d bytes: %v", size, err)
				}
				continue
			}
			abuse(t, db, boltview.MetaAuto)
		}
	}
}

// TestLoops makes trees that go round: a branch that is its own child, and a
// bucket that is its own root.
func TestLoops(t *testing.T) {
	oracle := create(t, 1024)
	update(t, oracle, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		for i := range 500 {
			if err := b.Put(fmt.Appendf(nil, "%05d", i), make([]byte, 20)); err != nil {
				return err
			}
		}
		return nil
	})
	sound := contents(t, oracle)
	b, err := openBytes(t, sound).Root().Bucket([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	at := int(b.Page()) * 1024

	loop := append([]byte(nil), sound...)
	for i := range int(binary.LittleEndian.Uint16(loop[at+10:])) {
		binary.LittleEndian.PutUint64(loop[at+16+16*i+8:], b.Page())
	}
	b, err = openBytes(t, loop).Root().Bucket([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get([]byte("00100")); !errors.Is(err, boltview.ErrCorrupt) {
		t.Errorf("Get in a loop: %v", err)
	}
	n := 0
	for it, err := range b.All() {
		if err == nil {
			t.Fatalf("key %q in a loop", it.Key)
		}
		n++
	}
	if n == 0 {
		t.Error("a loop is an empty bucket")
	}

	self := append([]byte(nil), sound...)
	root := openBytes(t, sound).Root()
	it, err := root.Item([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint64(self[it.Offset():], root.Page())
	var pe *boltview.PageError
	if _, err := openBytes(t, self).Root().Bucket([]byte("b")); !errors.As(err, &pe) || pe.Page != root.Page() {
		t.Errorf("bucket in itself: %v", err)
	}
}
