package fs

import "sync/atomic"

// Counter tells how often one operation was asked for.
type Counter struct {
	Count  uint64 `json:"count"`
	Errors uint64 `json:"errors,omitempty"` // of Count, answered with an errno; a name that is not there is none
	Bytes  uint64 `json:"bytes,omitempty"`  // of contents (read, and open of small files) and listings (readdir, readdirplus) handed to the kernel
}

// op is an operation that is counted.
type op int

const (
	opLookup op = iota
	opForget
	opGetattr
	opReadlink
	opOpen
	opRead
	opRelease
	opOpendir
	opReaddir
	opReaddirplus
	opReleasedir
	opGetxattr
	opListxattr
	opStatfs
	opWrite // all that would change something
	opOther
	numOps
)

var opNames = [numOps]string{
	"lookup", "forget", "getattr", "readlink", "open", "read", "release",
	"opendir", "readdir", "readdirplus", "releasedir",
	"getxattr", "listxattr", "statfs", "write", "other",
}

// counters are the counts of one mount.
type counters [numOps]struct{ count, errors, bytes atomic.Uint64 }

// snapshot returns the operations that were asked for, by name.
func (c *counters) snapshot() map[string]Counter {
	m := make(map[string]Counter)
	for i := range c {
		if n := c[i].count.Load(); n > 0 {
			m[opNames[i]] = Counter{n, c[i].errors.Load(), c[i].bytes.Load()}
		}
	}
	return m
}
