package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/space"
)

type pointsCmd struct {
	JSON bool `name:"json" help:"A JSON array."`
	snapArg
}

func (pointsCmd) Help() string {
	return `Each point can be mounted, listed and restored with --at.

Examples:
  snapfs points /tmp/snap
  snapfs points --json /tmp/snap | jq -r '.[].time'`
}

// point is one row.
type point struct {
	Name     string    `json:"name"`
	Time     time.Time `json:"time,omitzero"`
	File     string    `json:"file"`
	Bytes    int64     `json:"bytes"`
	Added    int       `json:"added"`    // files that were not there before
	Replaced int       `json:"replaced"` // files with a newer copy
	Files    int       `json:"files"`    // files of the merged view
	Damage   string    `json:"damage,omitempty"`
}

func (c *pointsCmd) Run(a *App) error {
	t, err := c.open(space.Options{})
	if err != nil {
		return err
	}
	defer t.Close()
	if t.Chain() == nil {
		return &codeError{hint.Wrap(fmt.Errorf("%s: a bare Bolt file has no points in time", c.Snap), "snapfs ls %s", hint.Quote(c.Snap)), exitNotSnapshot}
	}
	points, err := pointRows(t.Chain())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(points)
	}
	return a.pointTable(points).write(a.Stdout)
}

func (a *App) pointTable(points []point) *table {
	tab := a.table("POINT", "BACKUP TIME", "~FILE", ">BYTES", ">ADDED", ">REPLACED", ">FILES", "|")
	for _, p := range points {
		tab.add(p.Name, when(p.Time), nameOf(filepath.Base(p.File)), a.size(p.Bytes), fmt.Sprint(p.Added), fmt.Sprint(p.Replaced), fmt.Sprint(p.Files), p.Damage)
	}
	return tab
}

// pointRows says of each point what its layer brought.
func pointRows(c *chain.Chain) ([]point, error) {
	var rows []point
	var before *chain.View
	for p := range c.Points() {
		v, err := c.At(p.Name)
		if err != nil {
			return nil, err
		}
		row := point{Name: p.Name, Time: p.Time, File: p.Layer.Path, Bytes: p.Layer.Size, Files: v.Len()}
		if before == nil {
			row.Added = v.Len()
		} else {
			for d := range chain.Diff(before, v) {
				if d.Old == nil {
					row.Added++
				} else {
					row.Replaced++
				}
			}
		}
		if p.Layer.Err != nil {
			row.Damage = "damaged"
		}
		if p.Layer.Size == 0 {
			row.Damage = "empty file"
		}
		rows, before = append(rows, row), v
	}
	return rows, nil
}
