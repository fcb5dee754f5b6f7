package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/hint"
)

type boltPagesCmd struct {
	JSON bool `name:"json" help:"One JSON object a line: id, type, count, overflow, damage."`
	boltArgs
}

func (boltPagesCmd) Help() string {
	return `Pages are listed up to the number that the meta knows, each with its overflow pages as one.

Examples:
  snapfs bolt pages /tmp/snap telemetry/default/1
  snapfs bolt pages shard.db | grep leaf`
}

func (c *boltPagesCmd) Run(a *App) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(a.Stdout)
	w := &App{Stdout: out}
	d := damage{app: a}
	if !c.JSON {
		fmt.Fprintln(out, "ID       TYPE       ITEMS  OVRFLW")
		fmt.Fprintln(out, "======== ========== ====== ======")
	}
	for p, err := range f.Pages() {
		if err == nil {
			err = a.ctx.Err()
		}
		if err != nil {
			if err := errors.Join(out.Flush(), d.met(err)); err != nil {
				return err
			}
			continue
		}
		if c.JSON {
			err = w.printLine(p)
		} else {
			count, overflow := "", ""
			if p.Type != boltview.PageFree {
				count = strconv.FormatInt(p.Count, 10)
			}
			if p.Overflow > 0 {
				overflow = strconv.FormatInt(p.Overflow, 10)
			}
			_, err = fmt.Fprintf(out, "%-8d %-10s %-6s %-6s\n", p.ID, p.Type, count, overflow)
		}
		if err == nil && p.Damage != "" {
			err = errors.Join(out.Flush(), d.met(&boltview.PageError{Page: p.ID, Path: ".", Reason: p.Damage}))
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(out.Flush(), d.err())
}

// pages turns the arguments behind the file into numbers of pages.
func (f *boltFile) pages(all bool) ([]uint64, error) {
	var ids []uint64
	for _, arg := range f.rest {
		id, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, &codeError{fmt.Errorf("%q is not the number of a page", arg), exitUsage}
		}
		ids = append(ids, id)
	}
	if all == (len(ids) > 0) {
		return nil, &codeError{hint.Wrap(errors.New("which page?"), "snapfs bolt pages lists them"), exitUsage}
	}
	return ids, nil
}

const pageRule = "==============================================="

type boltPageCmd struct {
	JSON bool `name:"json" help:"One JSON object a line, for each page."`
	All  bool `help:"All pages."`
	formatFlag
	boltArgs
}

func (boltPageCmd) Help() string {
	return `Behind FILE come numbers of pages. --format is for values.

Examples:
  snapfs bolt page /tmp/snap telemetry/default/1 3 4
  snapfs bolt page --all --format redacted shard.db`
}

func (c *boltPageCmd) Run(a *App) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	defer f.Close()
	ids, err := f.pages(c.All)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.Stdout)
	pp := &pagePrinter{out: out, app: &App{Stdout: out}, damage: damage{app: a}, format: c.formatFlag, json: c.JSON}
	if !c.All {
		for _, id := range ids {
			if err := pp.print(f.DB, id); err != nil {
				return errors.Join(out.Flush(), err)
			}
		}
	} else {
		for p, err := range f.Pages() {
			if err == nil {
				err = a.ctx.Err()
			}
			if err == nil {
				err = pp.print(f.DB, p.ID)
			} else {
				err = pp.met(err)
			}
			if err != nil {
				return errors.Join(out.Flush(), err)
			}
		}
	}
	return errors.Join(out.Flush(), pp.err())
}

// pagePrinter prints pages one after the other.
type pagePrinter struct {
	damage
	out    *bufio.Writer
	app    *App // that prints JSON to out
	format formatFlag
	json   bool
	n      int
}

func (pp *pagePrinter) met(err error) error {
	return errors.Join(pp.out.Flush(), pp.damage.met(err))
}

func (pp *pagePrinter) print(db *boltview.DB, id uint64) error {
	p, err := db.Page(id)
	if err != nil {
		return pp.met(err)
	}
	if pp.json {
		return pp.object(p)
	}
	if pp.n++; pp.n > 1 {
		fmt.Fprintln(pp.out, pageRule)
	}
	fmt.Fprintf(pp.out, "Page ID:    %d\nPage Type:  %s\nTotal Size: %d bytes\nOverflow pages: %d\n", p.ID, p.Type, p.Size(), p.Overflow)
	if m, ok := p.Meta(); ok {
		fmt.Fprintf(pp.out, "Version:    %d\nPage Size:  %d bytes\nFlags:      %08x\nRoot:       <pgid=%d>\nFreelist:   <pgid=%d>\nHWM:        <pgid=%d>\nTxn ID:     %d\nChecksum:   %016x\n\n",
			m.Version, m.PageSize, m.Flags, m.Root, m.Freelist, m.HighWater, m.TxID, m.Checksum)
	}
	if p.Damage != "" {
		return pp.met(&boltview.PageError{Page: p.ID, Path: ".", Reason: p.Damage})
	}
	switch p.Type {
	case boltview.PageLeaf, boltview.PageBranch:
		fmt.Fprintf(pp.out, "Item Count: %d\n\n", p.Count)
	case boltview.PageFreelist:
		fmt.Fprintf(pp.out, "Item Count: %d\nOverflow: %d\n\n", p.Count, p.Overflow)
	default:
		return nil
	}
	if err := pp.elements(p); err != nil {
		return err
	}
	_, err = fmt.Fprintln(pp.out)
	return err
}

// pageKey shows a key as bbolt does in a page.
func pageKey(k []byte) []byte {
	if isText(k) {
		return strconv.AppendQuote(nil, string(k))
	}
	return fmt.Appendf(nil, "%x", k)
}

func (pp *pagePrinter) elements(p *boltview.Page) error {
	line := func(format string, args ...any) error {
		_, err := fmt.Fprintf(pp.out, format+"\n", args...)
		return err
	}
	for it, err := range p.Items() {
		var v []byte
		switch {
		case err != nil:
		case it.IsBucket():
			var b *boltview.Bucket
			if b, err = it.Bucket(); err == nil {
				v = fmt.Appendf(nil, "<pgid=%d,seq=%d>", b.Page(), b.Sequence())
			}
		default:
			if v, err = it.Value(); err == nil {
				v = pp.format.format(v)
			}
		}
		if err == nil {
			err = line("%s: %s", pageKey(it.Key), v)
		} else {
			err = pp.met(err)
		}
		if err != nil {
			return err
		}
	}
	for c, err := range p.Children() {
		if err == nil {
			err = line("%s: <pgid=%d>", pageKey(c.Key), c.Page)
		} else {
			err = pp.met(err)
		}
		if err != nil {
			return err
		}
	}
	for id, err := range p.Free() {
		if err == nil {
			err = line("%d", id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// jsonPage is a line of page --json.
type jsonPage struct {
	boltview.PageInfo
	Meta     *boltview.MetaPage `json:"meta,omitempty"`
	Items    []jsonPageItem     `json:"items,omitempty"`    // of a leaf
	Children []jsonChild        `json:"children,omitempty"` // of a branch
	Free     []uint64           `json:"free,omitempty"`     // of a list of free pages
}

type jsonPageItem struct {
	jsonItem
	*jsonValue
}

type jsonChild struct {
	jsonKey
	Page uint64 `json:"page"`
}

func (pp *pagePrinter) object(p *boltview.Page) error {
	out := jsonPage{PageInfo: p.PageInfo}
	if m, ok := p.Meta(); ok {
		out.Meta = &m
	}
	if p.Damage != "" {
		if err := pp.met(&boltview.PageError{Page: p.ID, Path: ".", Reason: p.Damage}); err != nil {
			return err
		}
	}
	for it, err := range p.Items() {
		var item jsonPageItem
		if err == nil {
			item.jsonItem, err = newJSONItem(it)
		}
		if err == nil && !it.IsBucket() {
			var v []byte
			if v, err = it.Value(); err == nil {
				item.jsonValue = newJSONValue(v)
			}
		}
		if err != nil {
			if err := pp.met(err); err != nil {
				return err
			}
			continue
		}
		out.Items = append(out.Items, item)
	}
	for c, err := range p.Children() {
		if err != nil {
			if err := pp.met(err); err != nil {
				return err
			}
			continue
		}
		out.Children = append(out.Children, jsonChild{newJSONKey(c.Key), c.Page})
	}
	for id, err := range p.Free() {
		if err != nil {
			return err
		}
		out.Free = append(out.Free, id)
	}
	return pp.app.printLine(out)
}

type boltDumpCmd struct{ boltArgs }

func (boltDumpCmd) Help() string {
	return `Behind FILE come numbers of pages. Overflow pages are pages of their own here. Lines are as those of bbolt
dump: the offset in the file, and 16 bytes; * stands for lines like the one before.

Examples:
  snapfs bolt dump /tmp/snap telemetry/default/1 0 1
  snapfs bolt dump shard.db 3`
}

func (c *boltDumpCmd) Run(a *App) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	defer f.Close()
	ids, err := f.pages(false)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.Stdout)
	for n, id := range ids {
		if n > 0 {
			fmt.Fprintln(out, pageRule)
		}
		p, err := f.Page(id)
		if err == nil {
			err = dump(out, p)
		}
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
	}
	return out.Flush()
}

func dump(out io.Writer, p *boltview.Page) error {
	data, err := io.ReadAll(p.Open())
	if err != nil {
		return fmt.Errorf("page %d: %w", p.ID, err)
	}
	var before []byte
	skipped := false
	for at := 0; at+16 <= len(data); at += 16 {
		line := data[at : at+16]
		if bytes.Equal(line, before) && at+16 < len(data) {
			if !skipped {
				fmt.Fprintf(out, "%07x *\n", p.Offset()+int64(at))
			}
			skipped = true
			continue
		}
		fmt.Fprintf(out, "%07x", p.Offset()+int64(at))
		for i := 0; i < 16; i += 2 {
			fmt.Fprintf(out, " %04x", line[i:i+2])
		}
		fmt.Fprintln(out)
		skipped, before = false, line
	}
	_, err = fmt.Fprintln(out)
	return err
}
