package repair

import (
	"io"

	"github.com/snapfs/snapfs/boltview"
)

// Source opens a Bolt file and returns it with its class, and with the tree
// that has the most to be saved, see [Choose]. It walks the trees to find out.
// Errors are those of [boltview.Open].
func Source(r io.ReaderAt, size int64) (*boltview.DB, boltview.Class, error) {
	db, err := boltview.Open(r, size, boltview.Options{})
	if err != nil {
		return nil, "", err
	}
	class := db.Class()
	if meta := Choose(db); meta != boltview.MetaAuto {
		db, err = boltview.Open(r, size, boltview.Options{Meta: meta})
	}
	return db, class, err
}

// Choose returns how to open a file, which was opened by [boltview.MetaAuto],
// for the tree that has the most to be saved: that of the newest meta which is
// whole; else, where opening had to search, what it found; else what is left of
// the newest. Opening walks no tree unless it sees a sign of damage; Choose
// does.
func Choose(db *boltview.DB) boltview.Meta {
	class, info := db.Class(), db.Info()
	if info.Class != "" || class != boltview.ClassC && class != boltview.ClassD {
		return boltview.MetaAuto
	}
	if info.Meta == 1 {
		return boltview.Meta0
	}
	return boltview.Meta1
}
