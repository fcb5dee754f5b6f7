// Package repair writes a sound Bolt file from what is left of a damaged one.
//
// # Words
//
// The source is a Bolt file as package boltview reads it: of a torn file that is
// the newest tree that is whole, wherever it hangs. A repaired file holds the
// buckets, keys, values and sequences of that tree, laid out anew by bbolt: no
// page of the source is taken over. A loss is a part of the source's tree that
// cannot be read; the tree of a torn file has none, that of a file with bytes
// that were changed may have.
//
// # What is promised
//
// The file is there only if all went well: it was checked by bbolt, read back
// through boltview, compared with what was read from the source, and synced unless
// options say that it need not last. Losses are
// no error, but in the [Report]. Equal trees give equal files, byte by byte, so
// that a repair that is done again changes nothing.
//
// Memory does not grow with the file: at any time there is one transaction of
// about a megabyte, or one value.
package repair
