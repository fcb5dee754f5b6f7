package main

import (
	"fmt"

	"github.com/snapfs/snapfs/boltview"
)

type boltInfoCmd struct {
	JSON  bool `name:"json" help:"A JSON object."`
	Class bool `help:"Walk the whole tree to tell how much of the file is whole. Otherwise that is told only if opening had to find it out."`
	boltArgs
}

func (boltInfoCmd) Help() string {
	return `Examples:
  snapfs bolt info /tmp/snap telemetry/default/1
  snapfs bolt info --class --json shard.db`
}

func (c *boltInfoCmd) Run(a *App) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	defer f.Close()
	info := f.Info()
	if c.Class {
		info.Class = f.Class()
	}
	if c.JSON {
		return a.printJSON(info)
	}
	return a.printBolt(f.path, info)
}

// printBolt prints what is known of a Bolt file.
func (a *App) printBolt(name string, i boltview.Info) error {
	fmt.Fprintf(a.Stdout, "%s: Bolt file, %s\n\n", printable(name), a.bytes(i.Size))
	tab := &table{}
	tab.add("page size", fmt.Sprint(i.PageSize))
	tab.add("pages", fmt.Sprintf("%d in the file, %d in use", i.Pages, i.HighWater))
	if i.Trailing > 0 {
		tab.add("trailing", fmt.Sprintf("%d bytes of a page that is cut", i.Trailing))
	}
	tab.add("transaction", fmt.Sprint(i.TxID))
	tab.add("root", fmt.Sprintf("page %d", i.Root))
	if i.FreePages != nil && i.Freelist != nil {
		tab.add("free pages", fmt.Sprintf("%d, listed in page %d", *i.FreePages, *i.Freelist))
	}
	for n, m := range i.Metas {
		tab.add(fmt.Sprintf("meta %d", n), fmt.Sprintf("%s: txid %d, root %d, free list %d, %d pages", m.State, m.TxID, m.Root, m.Freelist, m.HighWater))
	}
	tab.add("read by", usedTree(i))
	if i.Class != "" {
		tab.add("class", i.Class.String())
	}
	if err := tab.write(a.Stdout); err != nil {
		return err
	}
	if len(i.Candidates) > 0 {
		fmt.Fprintf(a.Stdout, "\nwhole trees found by search, newest first:\n")
		tab := &table{head: []string{">PAGE", "LAYOUT", ">KEYS", ">BYTES", ">POINTS", ">SEQUENCE"}}
		for _, c := range i.Candidates {
			tab.add(fmt.Sprint(c.Page), string(c.Layout), fmt.Sprint(c.Keys), fmt.Sprint(c.Bytes), fmt.Sprint(c.Points), fmt.Sprint(c.Sequence))
		}
		if err := tab.write(a.Stdout); err != nil {
			return err
		}
	}
	for _, d := range i.Damage {
		fmt.Fprintf(a.Stdout, "damage: %s\n", printable(d))
	}
	return nil
}

type boltStatsCmd struct {
	JSON bool `name:"json" help:"A JSON object."`
	parseFlag
	bucketFlag
	Prefix string `placeholder:"KEY" help:"Only buckets of the file whose names start so."`
	boltArgs
}

func (boltStatsCmd) Help() string {
	return `Counts over all buckets of the file, or over the bucket that is named, with all that are inside.

Examples:
  snapfs bolt stats /tmp/snap telemetry/default/1
  snapfs bolt stats --json shard.db wal`
}

func (c *boltStatsCmd) Run(a *App) error {
	keys, err := rangeFlags{Prefix: c.Prefix}.keys(c.parseFlag)
	if err != nil {
		return err
	}
	f, err := c.file(a)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := f.bucket(f.rest, c.bucketFlag)
	if err != nil {
		return err
	}
	var total boltview.Stats
	var count int64
	if len(f.rest) > 0 {
		count = 1
		if total, err = b.Stats(); err != nil {
			return err
		}
	} else {
		for it, err := range b.From(keys.From) {
			if err == nil {
				err = a.ctx.Err()
			}
			if err != nil {
				return err
			}
			if keys.past(it.Key) {
				break
			}
			if !it.IsBucket() {
				continue
			}
			sub, err := it.Bucket()
			if err != nil {
				return err
			}
			s, err := sub.Stats()
			if err != nil {
				return err
			}
			total.Add(s)
			count++
		}
	}
	if c.JSON {
		return a.printJSON(struct {
			Aggregated int64 `json:"aggregated"`
			boltview.Stats
		}{count, total})
	}
	return a.printStats(count, total)
}

// printStats prints in the words of bbolt.
func (a *App) printStats(count int64, s boltview.Stats) error {
	percent := func(part, of int64) int64 {
		if of == 0 {
			return 0
		}
		return int64(float32(part) * 100 / float32(of))
	}
	_, err := fmt.Fprintf(a.Stdout, `Aggregate statistics for %d buckets

Page count statistics
	Number of logical branch pages: %d
	Number of physical branch overflow pages: %d
	Number of logical leaf pages: %d
	Number of physical leaf overflow pages: %d
Tree statistics
	Number of keys/value pairs: %d
	Number of levels in B+tree: %d
Page size utilization
	Bytes allocated for physical branch pages: %d
	Bytes actually used for branch data: %d (%d%%)
	Bytes allocated for physical leaf pages: %d
	Bytes actually used for leaf data: %d (%d%%)
Bucket statistics
	Total number of buckets: %d
	Total number on inlined buckets: %d (%d%%)
	Bytes used for inlined buckets: %d (%d%%)
`, count, s.BranchPages, s.BranchOverflow, s.LeafPages, s.LeafOverflow, s.Keys, s.Depth,
		s.BranchAlloc, s.BranchInuse, percent(s.BranchInuse, s.BranchAlloc),
		s.LeafAlloc, s.LeafInuse, percent(s.LeafInuse, s.LeafAlloc),
		s.Buckets, s.Inline, percent(s.Inline, s.Buckets), s.InlineInuse, percent(s.InlineInuse, s.LeafInuse))
	return err
}
