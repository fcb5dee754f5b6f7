package erofs

import (
	"io/fs"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/snapfs/snapfs/internal/attr"
)

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

// device is one file that extents are of.
type device struct {
	file   *os.File
	number int // from 1
	size   int64
}

// blocks returns the size in blocks.
func (d *device) blocks() uint32 {
	return uint32(min(roundUp(uint64(d.size), BlockSize)/BlockSize, math.MaxUint32))
}

// name returns the name of an extent of the device in an image of extents.
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
		d = &device{file: e.File, number: len(ds.all) + 1, size: st.Size()}
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

// probeName is the name of an empty file in an image of extents, which no
// extent has.
const probeName = "probe"

// extents returns an image with a file for each extent. Those that do not fit
// are left out.
func extents(runs iter.Seq[attr.Run]) (*image, devices, error) {
	var ds devices
	files := []inode{{name: probeName, mode: 0o400}}
	for e := range runs {
		d, err := ds.of(e)
		if err != nil {
			return nil, ds, err
		}
		if d != nil {
			files = append(files, inode{name: d.name(e.Off, e.Size), mode: 0o400, device: int32(d.number), off: e.Off, size: e.Size})
		}
	}
	slices.SortFunc(files, func(a, b inode) int { return strings.Compare(a.name, b.name) })
	files = slices.CompactFunc(files, func(a, b inode) bool { return a.name == b.name })
	root := inode{mode: fs.ModeDir | 0o500, first: 1, count: int32(len(files))}
	return &image{inodes: append([]inode{root}, files...), devices: ds.all}, ds, nil
}
