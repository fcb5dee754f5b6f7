package main

import (
	"runtime"
	"runtime/debug"
)

// garbage is how many bytes of memory a mount may let lie around before it
// collects them, or a tenth of what is in use if that is more.
const garbage = 4 << 20

// shrink gives back what opening needed and serving does not, and has the process
// stay close to that: where there are many files, as much again as their index
// would lie around.
func shrink() {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetGCPercent(gcPercent(m.HeapAlloc))
}

// gcPercent returns the setting of the garbage collector for so many bytes in use.
func gcPercent(used uint64) int {
	return int(min(100, max(10, garbage*100/max(used, 1))))
}
