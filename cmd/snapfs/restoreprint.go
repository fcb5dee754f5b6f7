package main

import (
	"bufio"
	"fmt"

	"github.com/snapfs/snapfs/restore"
)

// print writes the plan.
func (c *restoreCmd) print(a *App, plan *restore.Plan) error {
	out := bufio.NewWriter(a.Stdout)
	for s := range plan.Steps() {
		if c.JSON {
			if err := a.printLine(s); err != nil {
				return err
			}
			continue
		}
		reason := ""
		if s.Reason != "" {
			reason = "  (" + s.Reason + ")"
		}
		fmt.Fprintf(out, "%-9s %12s  %s%s\n", s.Action, a.size(s.Size), s.Path, reason)
	}
	return out.Flush()
}

func summary(r restore.Report) string {
	text := fmt.Sprintf("restored %s, %s to %s", plural(int64(r.Files), "file"), plural(r.Bytes, "byte"), r.Target)
	if r.Kept > 0 {
		text += fmt.Sprintf("; %d already there", r.Kept)
	}
	if n := len(r.Failed); n > 0 {
		text += fmt.Sprintf("; %d failed", n)
	}
	return text
}
