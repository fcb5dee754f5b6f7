// Package tarindex gives random access to the members of a tar archive.
//
// A tar archive is a row of members. A member is a header, one or more blocks
// of 512 bytes that tell name, size and kind, followed by the data, filled up
// to a whole block. Two blocks of zeros, the end mark, close the archive. There
// is no table of contents: to find a member one must hop from header to header.
//
// [Build] does that once, never reads data, and returns an [Index]: where each
// member is, in about 100 bytes of memory each. From then on any byte of any
// member is one read away, and the Index is a tree for package io/fs.
//
// What a header means is decided by [archive/tar]; all its formats are known
// here: V7, ustar, PAX, GNU and its sparse files, star. Headers of the plain
// kind, by far the most, are read by a short path of this package's own, which
// agrees with archive/tar to the letter or steps aside.
//
// Archives come damaged. Build returns what it found before the damage
// together with the error, and a member whose data is cut off can be read up
// to the cut.
//
// The words of this package: a member's name is what the archive says, any
// bytes at all; its path is where it appears in the tree, made of the name by
// resolving "." and "..", and by escaping what a file name should not hold: the
// member "../default/1" has the path "%2E%2E/default/1". Of several members of
// one name, the tree shows the last, as extracting the archive would.
package tarindex
