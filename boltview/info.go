package boltview

import "fmt"

// Info tells what a file says of itself, and how it is read.
type Info struct {
	Size      int64       `json:"size"`       // of the file, in bytes
	PageSize  int         `json:"page_size"`  // bytes
	Pages     uint64      `json:"pages"`      // whole pages in the file
	Trailing  int64       `json:"trailing"`   // bytes behind the last whole page
	HighWater uint64      `json:"high_water"` // pages that the transaction knew; 0 if its meta is lost
	TxID      uint64      `json:"txid"`       // 0 if its meta is lost
	Root      uint64      `json:"root"`       // page
	Freelist  *uint64     `json:"freelist"`   // page of the list of free pages; null if not stored
	FreePages *int64      `json:"free_pages"` // pages in that list; null if it cannot be read
	Meta      int         `json:"meta"`       // 0 or 1: the one that is used; -1: the root was found by search
	Why       string      `json:"why"`        // and the reason
	Metas     [2]MetaInfo `json:"metas"`
	// Class is set if opening had to find it out; [DB.Class] always does.
	Class Class `json:"class,omitempty"`
	// Candidates are roots of whole trees, newest first, if opening had to
	// search. Each can be browsed, see [SalvageName].
	Candidates []Candidate `json:"candidates,omitempty"`
	Damage     []string    `json:"damage"` // one sentence each; empty if nothing was seen
}

// MetaInfo tells what one meta page says. Numbers are 0 if it has no magic.
type MetaInfo struct {
	State     string `json:"state"` // "ok", or what is wrong
	TxID      uint64 `json:"txid"`
	Root      uint64 `json:"root"`
	Freelist  uint64 `json:"freelist"`
	HighWater uint64 `json:"high_water"`
}

// Info returns what was found when the file was opened. It is not a check: a
// file without damage here may have some in a page that nobody has read yet.
func (db *DB) Info() Info { return db.info() }

func (db *DB) makeInfo() Info {
	info := Info{
		Size:       db.size,
		PageSize:   int(db.pageSize),
		Pages:      db.pages,
		Trailing:   db.size % db.pageSize,
		Root:       db.root.root,
		Meta:       db.used,
		Why:        db.why,
		Candidates: db.cands,
		Damage:     []string{},
	}
	damage := func(format string, args ...any) {
		info.Damage = append(info.Damage, fmt.Sprintf(format, args...))
	}
	for i := range db.metas {
		m := &db.metas[i]
		info.Metas[i] = MetaInfo{State: m.state, TxID: m.txid, Root: m.root, Freelist: m.freelist, HighWater: m.highWater}
		switch {
		case !m.ok():
			damage("meta %d is not valid: %s", i, m.state)
		case m.highWater > db.pages:
			damage("meta %d knows %d pages, the file has %d", i, m.highWater, db.pages)
		}
	}
	if db.used >= 0 {
		m := &db.metas[db.used]
		info.HighWater, info.TxID = m.highWater, m.txid
		if m.freelist != noFreelist {
			info.Freelist = &m.freelist
			count, _, _, reason, err := db.freelistHeader(m.freelist)
			switch {
			case err != nil:
				damage("%v", err)
			case reason != "":
				damage("page %d: %s", m.freelist, reason)
			default:
				info.FreePages = &count
			}
		}
	}
	if db.walked {
		c := db.classed()
		info.Class = c.class
		if c.newest >= 0 && c.class != ClassA && c.fault.Kind.Tree() {
			damage("tree of meta %d: %s", c.newest, c.fault)
		}
	}
	return info
}
