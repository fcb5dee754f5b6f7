package fs

import (
	iofs "io/fs"
	"log/slog"
	"os"
	"time"
)

// Options of [Mount]. The zero value is a mount for the calling user alone.
type Options struct {
	// Source is shown as the file system's source by df and in
	// /proc/mounts: the path of what is mounted. "snapfs" if empty.
	Source string

	// SourceDirs are the directories that the tree is read from. A mount
	// point in one of them, or above one, is refused: see [CheckMountPoint].
	SourceDirs []string

	// AllowOther lets other users in; the permission bits then decide.
	// Ordinary users need user_allow_other in /etc/fuse.conf for it.
	AllowOther bool

	// FileMode and DirMode, if not 0, replace the permission bits of all
	// files and directories. Bits for writing are dropped always: without
	// these options the mode is that of the tree, masked with 0555.
	FileMode, DirMode iofs.FileMode

	// UID and GID own everything. Nil is the user and group of the process.
	UID, GID *uint32

	// Totals, if set, returns the number of files and the sum of their sizes
	// in bytes, as statfs(2) shall show them. It is called for each statfs,
	// concurrently.
	Totals func() (files, bytes int64)

	// Backing, if set, opens what lies in one piece on disk as a file that the
	// kernel can read by itself (FUSE passthrough). If that is not possible
	// here, everything is read through the server, and [Server.Passthrough]
	// says why. It must not be closed before [Server.Wait] has returned.
	Backing Backing

	// MinBacked is the least size in bytes of files that are opened through
	// Backing. Small ones are read sooner without it. [DefaultMinBacked] if 0.
	MinBacked int64

	// CacheTime is how long the kernel may keep names, attributes and
	// misses. An hour if 0; if negative, they are not kept.
	CacheTime time.Duration

	// Logger gets one line for each EIO, with its cause, and the events of
	// the life cycle. Nil drops them.
	Logger *slog.Logger

	// Debug logs every request and reply at debug level.
	Debug bool
}

const defaultCacheTime = time.Hour

// DefaultMinBacked is [Options.MinBacked] in bytes if it is 0.
const DefaultMinBacked = 256 << 10

// settings are the options with all defaults filled in.
type settings struct {
	fileMode, dirMode iofs.FileMode // 0: as in the tree
	uid, gid          uint32
	totals            func() (files, bytes int64)
	cache             time.Duration
	backing           Backing // nil: none
	minBacked         int64
	log               *slog.Logger
}

func (o *Options) settings() settings {
	s := settings{
		fileMode: o.FileMode.Perm() &^ 0222,
		dirMode:  o.DirMode.Perm() &^ 0222,
		uid:      uint32(os.Getuid()),
		gid:      uint32(os.Getgid()),
		totals:   o.Totals,
		cache:    o.CacheTime,
		backing:  o.Backing,
		log:      o.Logger,

		minBacked: o.MinBacked,
	}
	if s.minBacked == 0 {
		s.minBacked = DefaultMinBacked
	}
	if o.UID != nil {
		s.uid = *o.UID
	}
	if o.GID != nil {
		s.gid = *o.GID
	}
	if s.cache == 0 {
		s.cache = defaultCacheTime
	}
	s.cache = max(s.cache, 0)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}
