package doctor

import (
	"errors"

	"github.com/snapfs/snapfs/chain"
)

// verdicts says of each point what can be restored.
func (e *exam) verdicts() error {
	c := e.tree.Chain()
	unknown := []Loss{} // of layers so far
	why := ""           // the reason for which points from here on are not to be had
	for _, l := range e.layers {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		v, err := c.At(l.Name)
		if err != nil {
			return err
		}
		p := Point{Name: l.Name, Time: l.Time, Files: v.Len(), Verdict: Whole}
		for _, h := range e.holes {
			if h.layer == l.Name {
				unknown = append(unknown, h.loss)
			}
		}
		p.Lost = append(p.Lost, unknown...)
		if len(e.damaged) > 0 {
			for f := range v.Files() {
				if loss, ok := e.damaged[copyOf{f.Layer.Name, f.Name}]; ok {
					loss.Path = f.Path
					p.Lost = append(p.Lost, loss)
				}
			}
		}
		if len(p.Lost) > 0 {
			p.Verdict = WithLoss
		}
		if why == "" {
			why = e.refused[l.Name]
		}
		if why == "" && l.Err != nil && errors.Is(l.Err, chain.ErrBroken) {
			why = "layer " + l.Name + " is of another dialect, and so of another server"
		}
		switch {
		case why != "":
			p.Verdict, p.Why = Not, why
		case nothing(l):
			p.Verdict, p.Why = Not, "the layer holds nothing that can be read"
			if b := e.before(l); b != "" {
				p.Why += "; what is shown is point " + b
			}
		case v.Len() == 0 && e.report.Dialect != chain.Unknown:
			p.Verdict, p.Why = Not, "there is no file"
		case v.Len() > 0 && len(p.Lost)-len(unknown) == v.Len():
			p.Verdict, p.Why = Not, "nothing is whole"
		}
		e.report.Points = append(e.report.Points, p)
	}
	return nil
}
