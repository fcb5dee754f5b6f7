package erofs

import (
	"os"
	"path/filepath"
	"slices"
)

// readAheadKB is how far the kernel may read ahead in an extent. It is less
// than a mount takes, as the pages are copied at once, and shall be in a cache
// of the processor when they are read.
const readAheadKB = "1024"

// queues returns the directories of sysfs for the mounts of EROFS that are
// backed by files. Their names are known to nobody: they are numbered.
func queues() []string {
	found, _ := filepath.Glob("/sys/class/bdi/erofs-*") // the pattern is good
	return found
}

// raiseReadAhead sets readAheadKB for the mount that was not there before. If
// others were made at the same time, it is not known which is ours, and nothing
// is set. Reading works as well.
func raiseReadAhead(before []string) {
	added := slices.DeleteFunc(queues(), func(q string) bool { return slices.Contains(before, q) })
	if len(added) == 1 {
		_ = os.WriteFile(filepath.Join(added[0], "read_ahead_kb"), []byte(readAheadKB), 0)
	}
}
