package restore

import "fmt"

// Recovery tells how an interrupted [Swap] ended.
type Recovery struct {
	Targets  []string `json:"targets"`
	Finished bool     `json:"finished"`        // all targets are the new ones; else they are as they were before
	Kept     bool     `json:"kept"`            // what was copied is kept for the next try
	Aside    []string `json:"aside,omitempty"` // where replaced directories are kept
}

// Recover ends what an interrupted [Swap] with this target left. If it had
// begun to exchange directories, that is finished; no data is read again. If
// not, no target had been changed, and what was copied is removed; with resume
// it is left for [Swap.Run] to go on with. It returns nil if there is nothing
// to do, and [ErrBusy] if the swap is not interrupted but at work.
func Recover(target string, resume bool) (*Recovery, error) {
	return recoverAt(target, resume, nil)
}

func recoverAt(target string, resume bool, step func(string)) (*Recovery, error) {
	real, err := resolve(target)
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", target, err)
	}
	o, err := pending(real)
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", target, err)
	}
	if o == nil {
		return nil, nil
	}
	defer o.close()
	o.step = step
	r := &Recovery{Targets: o.targets(), Finished: o.commit != nil}
	switch {
	case r.Finished:
		var kept []string
		kept, err = o.finish()
		for _, name := range kept {
			if name != "" {
				r.Aside = append(r.Aside, name)
			}
		}
	case resume:
		r.Kept = true
	default:
		err = o.undo()
	}
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", target, err)
	}
	return r, nil
}
