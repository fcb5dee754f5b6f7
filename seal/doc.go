// Package seal notes what the bytes of a snapshot are, and tells later which of
// them have changed.
//
// # Words
//
// A [Seal] has the SHA-256 of each member of each layer, and a CRC of each page
// group of it: of one page, or of a few where the file is large. The frame of a
// layer is all that is no member: headers, padding, the end mark. It has a
// SHA-256, too, so that no byte of a tar is without one.
//
// A [Rot] is a run of page groups that are not what they were, or of pages that
// cannot be read.
//
// # Format
//
// A seal is a file of JSON Lines, version 1. The first line is
//
//	{"snapfs_seal":1,"snapshot":"snap","hash":"sha256","groups":"crc32c"}
//
// For each layer, in the order of the chain, there is a line, and then one for
// each member, in the order of the tar:
//
//	{"layer":"full","file":"snap","size":283136,"members":5,"frame":"<hex>"}
//	{"layer":"full","path":"meta","offset":34816,"size":345,"sha256":"<hex>","page":4096,"group":1,"crcs":"<base64>"}
//
// offset and size are those of the data in the tar. page is the size of a page
// in bytes, that of the Bolt file if the member is one; group the number of
// pages in a group; crcs has the CRC-32C (Castagnoli) of each group, 4 bytes
// each, high byte first. The last group may be short. The last line counts, and
// has the SHA-256 of all lines before it, so that a seal that was cut off or
// changed does not pass for one:
//
//	{"layers":4,"members":10,"bytes":613376,"sha256":"<hex>"}
//
// Readers ignore fields that they do not know. Another version has another
// number in the first line, and is refused. The same snapshot gives the same
// seal, byte by byte.
package seal
