package boltview

import "fmt"

// Info tells what a file says of itself.
type Info struct {
	Size      int64       `json:"size"`       // of the file, in bytes
	PageSize  int         `json:"page_size"`  // bytes
	Pages     uint64      `json:"pages"`      // whole pages in the file
	HighWater uint64      `json:"high_water"` // pages that the transaction knew
	TxID      uint64      `json:"txid"`
	Root      uint64      `json:"root"`     // page
	Freelist  *uint64     `json:"freelist"` // page; null if the free pages are not stored
	Meta      int         `json:"meta"`     // 0 or 1: the one that is used
	Why       string      `json:"why"`      // and the reason
	Metas     [2]MetaInfo `json:"metas"`
	Damage    []string    `json:"damage"` // one sentence each; empty if nothing was seen
}

// MetaInfo tells what one meta page says. Numbers are 0 if it has no magic.
type MetaInfo struct {
	State     string `json:"state"` // "ok", or what is wrong
	TxID      uint64 `json:"txid"`
	Root      uint64 `json:"root"`
	Freelist  uint64 `json:"freelist"`
	HighWater uint64 `json:"high_water"`
}

// Info returns what was found when the file was opened. It is not a check.
func (db *DB) Info() Info { return db.info() }

func (db *DB) makeInfo() Info {
	m := &db.metas[db.used]
	info := Info{
		Size:      db.size,
		PageSize:  int(db.pageSize),
		Pages:     db.pages,
		HighWater: m.highWater,
		TxID:      m.txid,
		Root:      m.root,
		Meta:      db.used,
		Why:       db.why,
		Damage:    []string{},
	}
	if m.freelist != noFreelist {
		info.Freelist = &m.freelist
	}
	damage := func(format string, args ...any) {
		info.Damage = append(info.Damage, fmt.Sprintf(format, args...))
	}
	for i := range db.metas {
		m := &db.metas[i]
		info.Metas[i] = MetaInfo{State: m.state, TxID: m.txid, Root: m.root, Freelist: m.freelist, HighWater: m.highWater}
		switch {
		case !m.ok():
			damage("meta %d: %s", i, m.state)
		case m.highWater > db.pages:
			damage("meta %d knows %d pages, the file has %d", i, m.highWater, db.pages)
		}
	}
	if rest := db.size % db.pageSize; rest != 0 {
		damage("the last page is cut: %d of %d bytes", rest, db.pageSize)
	}
	return info
}
