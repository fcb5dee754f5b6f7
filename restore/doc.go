// Package restore copies any io/fs tree into a directory, so that what is there
// in the end is whole, and what was there before is not harmed.
//
// # Words
//
// The tree is the [io/fs.FS] that is read; the target is the directory that is
// written. A [Plan] is a list of steps, one for each path: what happens to it,
// decided by what the tree and the target hold now. A conflict is a step that
// must not be taken, because something is in the way. [NewPlan] writes
// nothing, [Plan.Run] carries a plan out, and [Copy] does both.
//
// # What is promised
//
// If one step of a plan is a conflict, or there is clearly too little room, Run
// writes nothing at all.
//
// A file gets its name when it is complete: it is written as a temporary file
// in the same directory, its length is checked against the tree, it gets its
// mode and time, is synced to disk and renamed. Directories are synced at the
// end, when they have got their times too. A file that the plan did not expect
// to be there is not replaced, even if it appeared a moment ago.
//
// Nothing outside the target is written. A name of the tree that could lead
// out is refused, everything is reached through [os.Root], and a symbolic link
// in the target where the tree has a directory is a conflict, wherever it
// points to.
//
// A file that cannot be read is left out, reported, and does not keep others
// from being restored. A target that cannot be written, because it is full for
// instance, ends the restore.
//
// # Replacing directories
//
// A [Swap] makes or replaces one or more directories, all of them or none. Each
// tree is staged beside its target called NAME, as .NAME.snapfs-new; files and
// directories are synced. Then a journal, .NAME.snapfs-journal, takes note that
// all is there: before that, a failure undoes everything, and from there on
// everything is carried through. Each staged tree is exchanged with its target
// in one step, where the file system can do that, and the old directory becomes
// NAME.before-TIME.
//
//	s, err := restore.NewSwap(ctx, []restore.Part{
//		{Target: "/var/lib/influxdb/data", Tree: shards, Options: restore.Options{Owner: influxdb}},
//		{Target: "/var/lib/influxdb/meta", Tree: meta, Options: restore.Options{Owner: influxdb}},
//	}, restore.SwapOptions{Replace: true, Protect: []string{"/backup/snap"}})
//	// s.Err, s.Plans: what is going to happen, and whether it may
//	reports, err := s.Run(ctx)
//
// Nobody sees a staged tree before all of it is on disk. So its files are written
// under their final names, and where syncfs(2) can be relied on, one call at the
// end does for files of less than a megabyte and for directories what fsync(2)
// does for each of the others.
//
// A process that was killed leaves the journal. [Recover] reads it: either all
// targets become the new trees, or all stay as they were, and the staged trees
// are removed. Run again with the same parts does the latter by using what was
// staged, as far as it is equal to the trees, byte by byte. If all targets
// already are what they should be, Run has nothing to do.
//
// # Running it again
//
// A restore that was interrupted, even killed, is finished by running it again
// with the same options. An existing file that equals the tree's in size, time
// and, byte by byte, in content counts as restored; with [Never], the default,
// everything else that exists is a conflict. Temporary files of a killed
// restore, .snapfs-<16 hexadecimal digits>.tmp, are removed from the directories
// of the plan. So that they are not those of another restore at work, the target
// is locked by flock(2); a restore into a directory inside of it is not kept
// out, and one of the two may then report failures.
//
// # Patterns
//
// [Options.Include] and [Options.Exclude] are globs as in package
// [github.com/bmatcuk/doublestar/v4]: *, ?, [a-z], {a,b}, and ** for any number
// of directories. A pattern without a slash is compared with the last element
// of a path, one with a slash with the end of the path, from any directory on;
// after a leading slash or ./ it begins at the root of the tree. A slash at the
// end means nothing. Whatever matches stands for all that is below it, too.
// Directories that hold nothing selected are not made.
//
// # What is restored
//
// Content, names, times of modification and permissions of files and
// directories, and symbolic links as they are, wherever they point to;
// [Report.Outside] lists those that point out of the target.
//
// Permissions are those of the tree, less the umask, and the owner may always
// read and write: a file that a mounted snapshot shows as 0444 and its archive
// as 0666 is restored as 0644 under the usual umask of 022. Set-id and sticky
// bits, owners and extended attributes are not restored. Directories that
// exist keep their permissions, but get the times of the tree; the target
// itself is not changed. Two paths that are one file in the tree become two
// files, which can be changed apart from each other. Holes in files are
// filled. Devices, pipes and sockets are skipped and reported.
//
// A file whose content is made anew for each open, see package attr, is taken
// as it comes, whatever size it is said to have.
//
// Where a file of the tree is, or lies in, a file on disk, the kernel copies it
// with copy_file_range(2) if it can, unless it is small, or its content is hashed
// on the way. What was copied so is read at its end through the tree, too, which
// may know that the file on disk has changed.
package restore
