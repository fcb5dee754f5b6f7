package erofs

import (
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/erofs/go-erofs"

	"github.com/snapfs/snapfs/internal/attr"
)

// BlockSize is what the offset of an extent must be a multiple of, in bytes. It
// is the block of a tar, and the smallest that EROFS has.
const BlockSize = 512

// maxDevice is the end in bytes that an extent can have: addresses of blocks
// have 32 bits.
const maxDevice = math.MaxUint32 * BlockSize

// maxDevices is how many devices an image can have. It is what the size of the
// table in front of the image allows for, rounded down by far.
const maxDevices = 4096

// fits reports whether an image can hold the extent.
func fits(e attr.Run) bool {
	return e.File != nil && e.Size > 0 && e.Off >= 0 && e.Off%BlockSize == 0 && e.Off <= maxDevice-e.Size
}

// tree is what go-erofs copies into the image: a root directory with files.
type tree struct{ files []file }

// device is one file that extents are of, with a file for each. They are sorted,
// and dropped once the image is mounted.
type device struct {
	tree
	file   *os.File
	number int
	size   int64
	count  int
}

// name returns the name of an extent of the device in the image.
func (d *device) name(off, size int64) string {
	b := strconv.AppendInt(make([]byte, 0, 48), int64(d.number), 36)
	b = strconv.AppendInt(append(b, '.'), off/BlockSize, 36)
	b = strconv.AppendInt(append(b, '.'), size, 36)
	return string(b)
}

// devices are the files that extents of one image are of.
type devices struct {
	byFile map[*os.File]*device
	all    []*device // by their numbers
}

// of returns the device of an extent, nil if no image can hold the extent.
func (ds *devices) of(e attr.Run) (*device, error) {
	if !fits(e) {
		return nil, nil
	}
	d := ds.byFile[e.File]
	if d == nil {
		st, err := e.File.Stat()
		if err != nil {
			return nil, err
		}
		if len(ds.all) == maxDevices {
			return nil, nil
		}
		d = &device{file: e.File, number: len(ds.all), size: st.Size()}
		if ds.byFile == nil {
			ds.byFile = map[*os.File]*device{}
		}
		ds.byFile[e.File], ds.all = d, append(ds.all, d)
	}
	// The kernel reads whole blocks, and fails at one that is cut off.
	if (e.Off+e.Size+BlockSize-1)/BlockSize > d.size/BlockSize {
		return nil, nil
	}
	return d, nil
}

// group sorts extents by their devices. Those that do not fit are left out.
func group(extents iter.Seq[attr.Run]) (devices, error) {
	var ds devices
	for e := range extents {
		d, err := ds.of(e)
		if err != nil {
			return ds, err
		}
		if d != nil {
			d.files = append(d.files, file{name: d.name(e.Off, e.Size), off: e.Off, size: e.Size, mode: 0o400})
		}
	}
	for _, d := range ds.all {
		slices.SortFunc(d.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
		d.files = slices.Compact(d.files)
		d.count = len(d.files)
	}
	return ds, nil
}

// probeName is the name of an empty file in each image, which no extent has.
const probeName = "probe"

// write writes the image of the devices.
func write(w io.WriteSeeker, devices []*device) error {
	image := erofs.Create(w, erofs.WithBlockSize(BlockSize), erofs.WithBuildTime(0, 0))
	// Not image.Create, which makes a temporary file for the contents.
	if err := image.CopyFrom(&tree{[]file{{name: probeName, mode: 0o400}}}, erofs.MetadataOnly()); err != nil {
		return err
	}
	if err := refer(image, devices); err != nil {
		return err
	}
	return image.Close()
}

// refer adds the files of the devices to the image.
func refer(image *erofs.Writer, devices []*device) error {
	for _, d := range devices {
		if err := image.CopyFrom(d, erofs.MetadataOnly()); err != nil {
			return fmt.Errorf("image of %s: %w", d.file.Name(), err)
		}
	}
	return nil
}

// Open implements [fs.FS]. The copy is without contents, so nothing is opened.
func (t *tree) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
}

// Stat implements [fs.StatFS] for the root.
func (t *tree) Stat(string) (fs.FileInfo, error) { return root{}, nil }

// ReadDir implements [fs.ReadDirFS] for the root.
func (t *tree) ReadDir(string) ([]fs.DirEntry, error) {
	list := make([]fs.DirEntry, len(t.files))
	for i := range t.files {
		list[i] = &t.files[i]
	}
	return list, nil
}

// DeviceBlocks tells go-erofs the size of the device, in blocks.
func (d *device) DeviceBlocks() uint64 {
	return min(uint64(d.size+BlockSize-1)/BlockSize, math.MaxUint32)
}

// file is an extent as go-erofs sees it. Its name may be a path.
type file struct {
	name      string
	off, size int64
	mode      fs.FileMode
	stat      *erofs.Stat // owner and time, nil for root and 1970
}

func (f *file) Name() string               { return f.name }
func (f *file) Size() int64                { return f.size }
func (f *file) Mode() fs.FileMode          { return f.mode }
func (f *file) Type() fs.FileMode          { return 0 }
func (f *file) ModTime() time.Time         { return time.Time{} }
func (f *file) IsDir() bool                { return false }
func (f *file) Info() (fs.FileInfo, error) { return f, nil }

// Sys tells go-erofs the owner and the time.
func (f *file) Sys() any {
	if f.stat == nil {
		return nil
	}
	return f.stat
}

// DataRange tells go-erofs where the contents are.
func (f *file) DataRange() []erofs.DataRange {
	return []erofs.DataRange{{Offset: f.off, Size: f.size}}
}

// root is the root directory of an image.
type root struct{}

func (root) Name() string       { return "." }
func (root) Size() int64        { return 0 }
func (root) Mode() fs.FileMode  { return fs.ModeDir | 0o500 }
func (root) ModTime() time.Time { return time.Time{} }
func (root) IsDir() bool        { return true }
func (root) Sys() any           { return nil }
