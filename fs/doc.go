// Package fs serves any [io/fs.FS] read-only through FUSE.
//
// Words first. The tree is the io/fs.FS to be shown; it is never written to
// and is taken not to change, but for files that say they are volatile. The
// mount point is the directory under which the kernel shows the tree. The
// server is the goroutines that answer the kernel's requests from the tree; it
// lives in this process, and when the process dies, the mount point is left
// stale: every access fails with ENOTCONN until it is unmounted. A node is one
// file, directory or link the kernel currently knows; a handle is one that is
// open.
//
// [Mount] is the function to call first. It returns when the mount answers.
// [Server.Run] then blocks until the tree is unmounted, by [Unmount], by
// umount(8), or on a signal.
//
// A tree need not offer more than io/fs asks for, but it should: open regular
// files implement [io.ReaderAt]; open directories implement
// [io/fs.ReadDirFile] and give the same order each time; Stat (and Lstat, if
// there are links) does not list the parent. Files that only implement Read
// work, slowly. A directory that implements [io.Seeker] counts in entries;
// without it, seekdir(3) reads what it skips. FileInfo.Sys may implement the
// interfaces of the package internal/attr: inode numbers, extended attributes
// (user.snapfs.*) and volatile files come from there. A tree that is an
// attr.Finder and an attr.Memory is served in less memory and less time.
//
// # Caching
//
// Since the tree does not change, the kernel may keep names, attributes and
// misses for an hour, or for [Options.CacheTime], and listings and contents as
// long as it likes. A volatile file is read anew at each open, and neither its
// size nor its bytes are kept. Small files that are in memory on this side are
// put into the kernel's cache when they are opened.
//
// # Damage
//
// A part of a file that cannot be read is EIO for the pages it lies in, and for
// no others. A short reply would not do: the kernel takes one for the end of
// the file, cuts the file's size, and fills the rest with zeros. A listing that
// breaks off ends in EIO, never in a short list. Only an errno can leave a
// mount, so this package writes one log line with the cause for each EIO (for
// reads, for the first one of each open file).
//
// # Traps
//
// A process must not map, execute, or change directory into a file of a mount
// that it serves itself: the page fault waits for a goroutine that may not get
// a thread. It should not even open one: opening may wait in the same way, as
// the runtime polls files, and a process that is killed with such a file open,
// or in a call that it would have to answer itself, waits for that answer and
// does not end. This package does nothing of the kind. A file named ".go-fuse-epoll-hack" in the root of the tree is not
// reachable, as go-fuse keeps this name for itself.
package fs
