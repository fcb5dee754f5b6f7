// Package boltview reads Bolt files in place, sound or damaged.
//
// # Words
//
// A Bolt file (version 2, as written by boltdb and bbolt) is a row of pages of
// one size. Pages 0 and 1 are the metas: each names the root page of a
// tree, the list of free pages, the high-water mark (the number of pages that
// the transaction knew) and the id of the transaction that wrote it. The valid
// meta with the higher id is current.
//
// A tree is made of branch pages, whose elements point to other pages, and of
// leaf pages, whose elements are keys with values. An element may hold a bucket
// in place of a value: the root page and the sequence of another tree, or, for
// a small bucket, the leaf page itself, which is then called inline. A page
// too small for its content goes on in the pages behind it, its overflow.
//
// # Use
//
// [Open] takes any [io.ReaderAt]: a file, a member of an archive, bytes in
// memory. [DB.Root] is the bucket that holds all others; [Bucket.Bucket],
// [Bucket.Get], [Bucket.All] and [Bucket.From] go on from there. [DB.FS] shows
// the whole as an io/fs tree. [DB.Info] tells what was found at the metas, and
// [DB.Check] goes through everything. A local file is read fastest through a
// [Mapping], one for all databases in it.
//
// # Damage
//
// A tree is whole if nothing is missing or wrong in it. A hot copy of a file
// that was written to may be torn: its metas name pages that were not copied.
// [Class] says how far that goes, and [Open] shows the newest tree that is whole:
// that of a meta, or one that a search of all pages finds, see [Candidate].
// Other damage, such as a page of zeros, takes only its own keys along.
//
// # Why not bbolt
//
// bbolt wants a file of its own, mapped from offset 0; a member of an archive
// starts somewhere inside another file. And bbolt trusts what it maps: a torn
// file makes it panic, or kills the process with a fault. Nothing here trusts
// the file. Every position, size and count is checked before use, every walk
// has a budget of pages, and what is wrong comes back as a [*PageError], which
// is [ErrCorrupt] and names the page. Reading is lazy: opening touches the
// metas, and each lookup the pages on its way.
//
// # Traps
//
// The bytes of an [Item] are only lent: they are valid until the loop that got
// it takes its next step. Files are little-endian; a file from a big-endian
// machine is refused, with words that say so.
package boltview
