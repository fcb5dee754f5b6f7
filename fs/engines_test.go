package fs

import (
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"slices"
	"testing"

	"github.com/snapfs/snapfs/erofs"
	"github.com/snapfs/snapfs/internal/attr"
)

// mounter mounts a tree for the time of a test.
type mounter func(testing.TB, iofs.FS, Options) *Server

// onEngines runs a test of reading three times: with everything read through the
// server, the same from a tree in memory, with small files pushed to the kernel,
// and with all files that are not empty read by the kernel.
func onEngines(t *testing.T, test func(*testing.T, mounter)) {
	t.Run("plain", func(t *testing.T) { test(t, testMount) })
	t.Run("pushed", func(t *testing.T) { test(t, mountPushed) })
	t.Run("passthrough", func(t *testing.T) {
		wantFUSE(t)
		test(t, mountPacked)
	})
}

// mountPacked is testMount for a tree whose contents lie in one file on disk, as
// they do in a tar, and are read by the kernel.
func mountPacked(t testing.TB, tree iofs.FS, opts Options) *Server {
	t.Helper()
	packed, extents := pack(t, tree)
	opts.Backing, opts.MinBacked = testImage(t, extents), 1
	s := testMount(t, packed, opts)
	if err := s.Passthrough(); err != nil {
		noPassthrough(t, err)
	}
	return s
}

// mountPushed is testMount for a tree whose contents lie in one file on disk, as
// they do in a tar, and whose directories are in memory.
func mountPushed(t testing.TB, tree iofs.FS, opts Options) *Server {
	t.Helper()
	packed, _ := pack(t, tree)
	return testMount(t, inMemory{packed.(hooks)}, opts)
}

// inMemory is a tree that has its directories in memory.
type inMemory struct{ hooks }

func (inMemory) InMemory(string) bool { return true }

// testImage mounts the extents for the time of a test, which it skips where that
// is not possible.
func testImage(t testing.TB, extents []attr.Run) *erofs.Image {
	t.Helper()
	return testImageBy(t, extents, erofs.Options{})
}

func testImageBy(t testing.TB, extents []attr.Run, opts erofs.Options) *erofs.Image {
	t.Helper()
	image, err := erofs.Mount(slices.Values(extents), opts)
	if errors.Is(err, erofs.ErrUnavailable) {
		noPassthrough(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	})
	return image
}

// noPassthrough skips the test, unless passthrough must be there.
func noPassthrough(t testing.TB, why error) {
	t.Helper()
	if os.Getenv("SNAPFS_TEST_PASSTHROUGH") == "require" {
		t.Fatalf("SNAPFS_TEST_PASSTHROUGH=require, but %v", why)
	}
	t.Skipf("no passthrough: %v", why)
}

// pack writes the contents of all regular files of a tree into one file, and
// returns the tree with files that say where they are in there.
func pack(t testing.TB, tree iofs.FS) (iofs.FS, []attr.Run) {
	t.Helper()
	return packIn(t, t.TempDir(), tree)
}

// packIn is pack with the file in a directory that is given.
func packIn(t testing.TB, dir string, tree iofs.FS) (iofs.FS, []attr.Run) {
	t.Helper()
	device, err := os.CreateTemp(dir, "device")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	packed := hooks{FS: tree, open: map[string]func() (iofs.File, error){}}
	var extents []attr.Run
	end := int64(erofs.BlockSize) // odd, where pages are counted
	byIno := map[uint64]attr.Run{}
	err = iofs.WalkDir(tree, ".", func(name string, d iofs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err != nil || attr.IsVolatile(fi) || fi.Size() == 0 {
			return err
		}
		ino, known := attr.Ino(fi)
		e := byIno[ino]
		if !known || e.File == nil {
			data, err := iofs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			e = attr.Run{File: device, Off: end, Size: fi.Size()}
			byIno[ino], extents = e, append(extents, e)
			if _, err := device.WriteAt(data, end); err != nil {
				return err
			}
			end += (e.Size + erofs.BlockSize - 1) / erofs.BlockSize * erofs.BlockSize
		}
		packed.open[name] = func() (iofs.File, error) {
			f, err := tree.Open(name)
			if err != nil {
				return nil, err
			}
			return extentFile{f, f.(io.ReaderAt), e}, nil
		}
		return nil
	})
	if err == nil {
		err = device.Truncate(end)
	}
	if err != nil {
		t.Fatal(err)
	}
	return packed, extents
}

// extentFile is an open file that says where on disk it is.
type extentFile struct {
	iofs.File
	io.ReaderAt
	extent attr.Run
}

func (f extentFile) Extent() (*os.File, int64, bool) { return f.extent.File, f.extent.Off, true }
