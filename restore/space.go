package restore

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/internal/hint"
)

// room is what a file system has and what the plan asks of it, in bytes and
// in inodes.
type room struct {
	have, need   uint64
	files, wants uint64
	checked      bool
	readOnly     bool
}

// checkSpace returns an error if plans that are run one after another cannot
// fit. It counts the least that is written, each file system for itself.
func checkSpace(plans []*Plan) error {
	byDev := make(map[uint64]*room)
	var all []*room
	for _, p := range plans {
		all = p.count(byDev, all)
	}
	name := plans[0].name
	for _, r := range all {
		var err error
		switch {
		case r.readOnly && r.wants+r.need > 0:
			err = fmt.Errorf("restore %s: %w", name, syscall.EROFS)
			return hint.Wrap(err, "choose another target")
		case !r.checked:
			continue
		case r.need > r.have:
			err = fmt.Errorf("restore %s: %w: %d bytes needed, %d free", name, ErrSpace, r.need, r.have)
		case r.files > 0 && r.wants > r.files:
			err = fmt.Errorf("restore %s: %w: %d inodes needed, %d free", name, ErrSpace, r.wants, r.files)
		}
		if err != nil {
			return hint.Wrap(err, "choose another target, or restore less with --include or --exclude")
		}
	}
	return nil
}

// count adds what the plan needs to the rooms of the file systems it writes to.
func (p *Plan) count(byDev map[uint64]*room, all []*room) []*room {
	at := make([]*room, len(p.dirs)) // by directory
	for i := range p.dirs {
		d := &p.dirs[i]
		if i > 0 && !d.exists {
			at[i] = at[d.parent]
			continue
		}
		// The target, or a mount point in it.
		name := existing(filepath.Join(p.dst, filepath.FromSlash(d.path)))
		dev := d.dev
		if !d.exists {
			if st, err := os.Stat(name); err == nil {
				dev = device(st)
			}
		}
		r := byDev[dev]
		if r == nil {
			r = statRoom(name)
			byDev[dev] = r
			all = append(all, r)
		}
		at[i] = r
	}
	for _, s := range p.stale {
		if p.dirs[s.dir].needed {
			at[s.dir].have = add(at[s.dir].have, uint64(s.size))
		}
	}
	for i := range p.entries {
		e := &p.entries[i]
		r := at[e.parent]
		switch e.action {
		case ActionCreate, ActionSymlink:
			r.wants++
			r.need = add(r.need, uint64(e.size))
		case ActionMkdir:
			if p.dirs[e.sub].needed {
				r.wants++
			}
		case ActionOverwrite:
			grows := e.size
			if e.more != nil {
				grows -= e.more.old
			}
			r.need = add(r.need, uint64(max(grows, 0)))
		}
	}
	return all
}

func add(a, b uint64) uint64 {
	if b > math.MaxUint64-a {
		return math.MaxUint64
	}
	return a + b
}

// existing returns the innermost directory on the way to name that exists.
func existing(name string) string {
	name = filepath.Clean(name)
	for {
		if _, err := os.Stat(name); err == nil {
			return name
		}
		up := filepath.Dir(name)
		if up == name {
			return name
		}
		name = up
	}
}

// statRoom asks a file system what it has free. Where the answer says little,
// because the file system compresses or does not count, it stays unchecked.
func statRoom(name string) *room {
	r := new(room)
	var st unix.Statfs_t
	if unix.Statfs(name, &st) != nil {
		return r
	}
	r.readOnly = st.Flags&unix.ST_RDONLY != 0
	if st.Blocks == 0 || st.Bsize <= 0 {
		return r
	}
	const zfs, bcachefs = 0x2fc12fc1, 0xca451a4e
	switch uint32(st.Type) {
	case unix.BTRFS_SUPER_MAGIC, zfs, bcachefs:
		return r
	}
	free := st.Bavail
	if os.Geteuid() == 0 {
		free = st.Bfree // root may use the reserve
	}
	if free > math.MaxUint64/uint64(st.Bsize) {
		return r
	}
	r.have, r.checked = free*uint64(st.Bsize), true
	if st.Files > 0 {
		r.files = st.Ffree
	}
	return r
}
