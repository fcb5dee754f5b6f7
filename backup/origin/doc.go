// Package origin makes layers out of what lies on this machine: a directory of
// Bolt files, or a chain.
//
// [Dir.Begin] and [Chain.Begin] hold one moment fast, as a [Copy]: a manifest of what is newer
// than what the asker knows, and the content of the files in it. [Copy.Write]
// writes that as a layer. [Source] is what package backup asks.
//
// A chain is asked at one of its points in time, and answers as the server did
// whose files it holds.
//
// # Directories
//
// Every Bolt file of a directory, at any depth, is a file of the snapshot under
// its path in there, and so is "meta" of the directory itself, of whatever kind.
// Its stamp is the time of its last change, as for final releases; or, if meta
// is that of a release candidate, the index that it holds.
//
// A Bolt file is opened by bbolt, for reading, with its lock, and a transaction
// is held while it is copied, so that no copy is ever torn. The lock is shared,
// and keeps writers out until the copy is done. A process that has a Bolt file
// open for writing, as a running InfluxDB has all of them, holds the lock for
// itself: the directory of a running server cannot be copied from outside. A
// program that wants to offer copies of files which it writes to itself hands
// out its databases by [Dir.DB].
//
// FORMAT: the metadata of final releases are not in the data directory, but in
// their raft store. A chain without meta can be read all the same; it does not
// tell what was dropped.
package origin
