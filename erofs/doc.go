// Package erofs makes runs of bytes of files on disk into files by themselves,
// which the kernel reads without asking anybody.
//
// The words: an extent is a run of bytes of a file, such as a member of a tar;
// the files that extents are of are the devices. [Mount] writes an image of the
// file system EROFS with one inode for each extent and none of its bytes, and
// mounts it detached: no process sees it in its tree of directories, and it is
// gone when the [Image] is closed and its files are, or the process is, in
// whatever way.
// [Image.Open] then opens one extent as a file that can be read, mapped, and
// handed to FUSE as what is behind a file there (passthrough). All its
// descriptors of one extent share their pages in memory.
//
// [MountTree] mounts an image that has the names of a tree as well, where all
// see it and for good.
//
// Nothing has a name on the way to a mount, neither the image nor anything else,
// so that nothing is left of a process that is killed.
//
// What the kernel reads, it reads from the device as that is at the time. Who
// opens an extent has to see to it that the device is still what it was.
//
// Mounting needs CAP_SYS_ADMIN, /proc, Linux 6.12 with EROFS "backed by file",
// and a directory for temporary files on a file system that can hold an image
// and files without names (O_TMPFILE); tmpfs cannot. Without such a directory or
// kernel it takes a loop device for the image and for each device, up to 64; they
// are gone with the mount, or the process. EROFS has blocks of 512 bytes since
// Linux 6.4. All that is missing is [ErrUnavailable].
package erofs
