package restore

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/attr"
	"github.com/snapfs/snapfs/internal/copyrange"
)

// sample is a tree with files around the sizes of buffers.
func sample() fstest.MapFS {
	m := lines("manifest {}\n meta m\n db/link -> rp/1\n empty/\n deep/a/b/c/d/e/f x")
	for name, size := range map[string]int{
		"db/rp/0": 0, "db/rp/1": 1, "db/rp/2": bufSize - 1, "db/rp/3": bufSize, "db/rp/4": bufSize + 1,
		"db/rp/5": copyrange.Step + 1, "db/ümläut": 4097, "db/with space": 512,
	} {
		m[name] = &fstest.MapFile{Mode: 0o644, ModTime: when, Data: noise(uint64(size), size)}
	}
	for _, dir := range []string{"db", "db/rp", "deep", "deep/a", "deep/a/b", "deep/a/b/c", "deep/a/b/c/d", "deep/a/b/c/d/e"} {
		m[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: when}
	}
	return m
}

// onDisk returns a tree of real files with the content of tree.
func onDisk(t testing.TB, tree fstest.MapFS) (dir string) {
	t.Helper()
	dir = t.TempDir()
	put(t, dir, tree)
	for name, f := range tree {
		if f.Mode.IsDir() {
			defer os.Chtimes(filepath.Join(dir, name), when, when)
		}
	}
	return dir
}

func TestCopy(t *testing.T) {
	src := sample()
	disk := onDisk(t, src)
	for _, tt := range []struct {
		name string
		src  fs.FS
	}{
		{"readers", fstest.MapFS(src)},
		{"os files", os.DirFS(disk)},
		{"only read", plainFS{src}},
		{"extents", newArchive(t, src)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := dump(t, disk)
			dst := filepath.Join(t.TempDir(), "made", "with", "parents")
			r, err := Copy(t.Context(), dst, tt.src, Options{})
			if err != nil {
				t.Fatal(err)
			}
			sameTree(t, dst, src)
			noTemps(t, dst)
			var bytes int64
			for _, f := range src {
				if f.Mode.IsRegular() {
					bytes += int64(len(f.Data))
				}
			}
			if r.Files != 12 || r.Created != 12 || r.Dirs != 9 || r.Bytes != bytes || r.Remaining != 0 || r.Target != dst || r.Duration <= 0 {
				t.Errorf("report %+v, want %d bytes", r, bytes)
			}
			if tt.name == "os files" {
				diff(t, disk, dst)
			}

			// Once more: nothing to do, nothing changes.
			done := dump(t, dst)
			for _, o := range []Overwrite{Never, IfChanged, IfNewer} {
				r, err = Copy(t.Context(), dst, tt.src, Options{Overwrite: o})
				if err != nil || r.Kept != 12 || r.Files != 0 || r.Dirs != 0 {
					t.Errorf("%v: again: %+v, %v", o, r, err)
				}
			}
			if r, err = Copy(t.Context(), dst, tt.src, Options{Overwrite: Always}); err != nil || r.Overwritten != 12 {
				t.Errorf("always: %+v, %v", r, err)
			}
			if dump(t, dst) != done {
				t.Error("the target changed")
			}
			if dump(t, disk) != before {
				t.Error("the source changed")
			}
		})
	}
}

// plainFS hides everything but Read.
type plainFS struct{ fs.FS }

func (p plainFS) Open(name string) (fs.File, error) {
	f, err := p.FS.Open(name)
	if _, dir := f.(fs.ReadDirFile); dir || err != nil {
		return f, err
	}
	return struct{ fs.File }{f}, nil
}

func (p plainFS) ReadLink(name string) (string, error)   { return fs.ReadLink(p.FS, name) }
func (p plainFS) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(p.FS, name) }

// archive is a tree whose files lie one after the other in one file on disk,
// at odd offsets.
type archive struct {
	fstest.MapFS
	f   *os.File
	off map[string]int64
}

func newArchive(t testing.TB, tree fstest.MapFS) *archive {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	a := &archive{tree, f, map[string]int64{}}
	off := int64(13)
	for name, m := range tree {
		if _, err := f.WriteAt(m.Data, off); err != nil {
			t.Fatal(err)
		}
		a.off[name] = off
		off += int64(len(m.Data)) + 7
	}
	return a
}

type member struct {
	fs.File
	*io.SectionReader
	a   *archive
	off int64
}

func (m *member) Read(p []byte) (int, error)           { return m.File.Read(p) }
func (m *member) Extent() (*os.File, int64, bool)      { return m.a.f, m.off, true }
func (a *archive) Lstat(n string) (fs.FileInfo, error) { return a.MapFS.Lstat(n) }

var _ attr.Extent = (*member)(nil)

func (a *archive) Open(name string) (fs.File, error) {
	f, err := a.MapFS.Open(name)
	if _, dir := f.(fs.ReadDirFile); dir || err != nil {
		return f, err
	}
	off := a.off[name]
	return &member{f, io.NewSectionReader(a.f, off, int64(len(a.MapFS[name].Data))), a, off}, nil
}

// TestRange: the kernel copies where it can, and where it cannot, or stops in
// the middle, the rest is copied all the same.
func TestRange(t *testing.T) {
	const size = copyrange.Step + bufSize + 3
	tree := fstest.MapFS{"f": {Data: noise(1, size), Mode: 0o644, ModTime: when}}
	a := newArchive(t, tree)
	temp := func(dir string) *os.File {
		f, err := os.CreateTemp(dir, "snapfs")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close(); os.Remove(f.Name()) })
		return f
	}
	try := func(src fs.File, dst *os.File, size int64) (*runner, int64, error) {
		r := &runner{}
		r.bufs.New = func() any { return new([bufSize]byte) }
		n, err := r.content(t.Context(), dst, src, size, nil, func(int64) {})
		return r, n, err
	}
	check := func(dst *os.File, want []byte) {
		t.Helper()
		got, err := os.ReadFile(dst.Name())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("content differs: %d bytes, want %d, %v", len(got), len(want), err)
		}
	}
	f, err := a.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	data := tree["f"].Data

	dst := temp(t.TempDir())
	r := &runner{}
	n, err := r.byRange(t.Context(), dst, f, size, func(int64) {})
	switch {
	case err != nil:
		t.Fatal(err)
	case n == size:
		check(dst, data)
	default:
		t.Logf("no copy_file_range in %s: %d bytes", dst.Name(), n)
	}
	dst = temp(t.TempDir())
	if _, n, err := try(f, dst, size); n != size || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	check(dst, data)

	t.Run("other file system", func(t *testing.T) {
		var here, there unix.Stat_t
		if unix.Stat("/dev/shm", &there) != nil || unix.Stat(t.TempDir(), &here) != nil || here.Dev == there.Dev {
			t.Skip("/dev/shm is no other file system")
		}
		dst := temp("/dev/shm")
		r, n, err := try(f, dst, size)
		if n != size || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		t.Logf("given up for good: %v", r.noRange.Load())
		check(dst, data)
	})
	t.Run("cut", func(t *testing.T) {
		// The archive ends in the middle of the member.
		if err := a.f.Truncate(a.off["f"] + 5000); err != nil {
			t.Fatal(err)
		}
		dst := temp(t.TempDir())
		r, n, err := try(f, dst, size)
		if n != 5000 || !errors.Is(err, io.ErrUnexpectedEOF) || r.noRange.Load() {
			t.Errorf("%d, %v", n, err)
		}
		check(dst, data[:5000])
	})
}

// changing is a member that fails to be read from some time on, whatever the
// kernel reads.
type changing struct {
	*member
	from func() bool
}

var errChanged = errors.New("changed")

func (c changing) ReadAt(p []byte, off int64) (int, error) {
	if c.from() {
		return 0, errChanged
	}
	return c.member.ReadAt(p, off)
}

// TestRangeChanged: what the kernel has copied does not count if the file has
// changed meanwhile, of which only a read through the tree tells.
func TestRangeChanged(t *testing.T) {
	for _, size := range []int{minRange, bufSize + 3} {
		a := newArchive(t, fstest.MapFS{"f": {Data: noise(1, size)}})
		f, err := a.Open("f")
		if err != nil {
			t.Fatal(err)
		}
		dst, err := os.Create(filepath.Join(t.TempDir(), "dst"))
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		r := &runner{}
		r.bufs.New = func() any { return new([bufSize]byte) }
		changed := false
		src := changing{f.(*member), func() bool { return changed }}
		_, err = r.content(t.Context(), dst, src, int64(size), nil, func(int64) { changed = true })
		if r.noRange.Load() {
			t.Skip("no copy_file_range here")
		}
		if !errors.Is(err, errChanged) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestModes: permissions come from the tree, less the umask, but the owner may
// always write.
func TestModes(t *testing.T) {
	defer unix.Umask(unix.Umask(0o022))
	src := fstest.MapFS{
		"ro":     {Mode: 0o444},
		"none":   {Mode: 0},
		"all":    {Mode: 0o666},
		"secret": {Mode: 0o600},
		"exec":   {Mode: 0o555},
		"suid":   {Mode: fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky | 0o755},
		"d":      {Mode: fs.ModeDir | 0o555},
		"d/f":    {Mode: 0o400},
		"p":      {Mode: fs.ModeDir | 0o700},
	}
	tests := []struct {
		opts Options
		want string
	}{
		{Options{}, "all 644 d 755 d/f 600 exec 755 none 600 p 700 ro 644 secret 600 suid 755"},
		{Options{FileMode: 0o440, DirMode: 0o2577}, "all 640 d 777 d/f 640 exec 640 none 640 p 777 ro 640 secret 640 suid 640"},
	}
	for _, tt := range tests {
		dst := filepath.Join(t.TempDir(), "new")
		if _, err := Copy(t.Context(), dst, src, tt.opts); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range names(t, dst)[1:] {
			st, err := os.Lstat(filepath.Join(dst, p))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p, strconv.FormatUint(uint64(st.Sys().(*syscall.Stat_t).Mode&0o7777), 8))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%+v: %s, want %s", tt.opts, s, tt.want)
		}
		st, err := os.Stat(dst)
		if want := tt.opts.DirMode.Perm(); err != nil || want != 0 && st.Mode().Perm() != want|0o700 {
			t.Errorf("target: %v, %v", st.Mode(), err)
		}
	}
}

func TestLinks(t *testing.T) {
	src := lines(`
		db/in -> ../x
		db/up -> ../../x
		db/abs -> /etc/passwd
		here -> .
		out -> ..
		odd -> a//../../b
		x 1`)
	dst := t.TempDir()
	r, err := Copy(t.Context(), dst, src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, dst, src)
	if st, err := os.Lstat(filepath.Join(dst, "out")); err != nil || !st.ModTime().Equal(when) {
		t.Errorf("a link: %v, %v", st, err)
	}
	if got := strings.Join(r.Outside, " "); got != "db/abs db/up odd out" {
		t.Errorf("outside: %s", got)
	}
	// A file takes the place of a link, and what the link points to stays.
	other := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(other, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dst, "x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dst, "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), dst, src, Options{Overwrite: Always}); err != nil {
		t.Fatal(err)
	}
	sameTree(t, dst, src)
	if b, _ := os.ReadFile(other); string(b) != "mine" {
		t.Errorf("written through a link: %s", b)
	}
}
