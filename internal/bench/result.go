package bench

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Result is what [Run] found.
type Result struct {
	Version   string           `json:"version"` // of snapfs; set by the caller
	Time      time.Time        `json:"time"`
	Machine   Machine          `json:"machine"`
	Scale     float64          `json:"scale"`
	Runs      int              `json:"runs"`
	Workloads []WorkloadResult `json:"workloads"`
}

// Machine is where it ran.
type Machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memory"` // bytes
	Kernel string `json:"kernel"`
	Load   string `json:"load"` // by others, when it began: averages of 1, 5 and 15 minutes
}

// WorkloadResult is all of one workload.
type WorkloadResult struct {
	Name     string            `json:"name"`
	Title    string            `json:"title"`
	Files    int               `json:"files"`
	Bytes    int64             `json:"bytes"`
	Layers   int               `json:"layers"`
	Keys     int               `json:"keys,omitempty"`
	Subjects []string          `json:"subjects"` // in the order of columns
	Figures  []Figure          `json:"figures"`
	Notes    map[string]string `json:"notes,omitempty"` // why a subject was given up
}

// Figure is one measure of one subject.
type Figure struct {
	Measure
	Subject string    `json:"subject"`
	Samples []float64 `json:"samples"`
	Median  float64   `json:"median"`
	// Ratio is how good it is beside the baseline, which is 1: the median of
	// the ratios in each round. More is better. 0 if there is no baseline.
	Ratio float64 `json:"ratio,omitempty"`
}

// result sums up what the rounds found.
func (r *runner) result() WorkloadResult {
	d := r.data
	out := WorkloadResult{Name: d.Name, Title: d.Title, Files: len(d.Paths), Bytes: d.Bytes, Layers: d.Layers, Keys: d.Keys, Notes: r.notes}
	order := []string{TarCommand, Extracted, Reread, Pread, Bbolt}
	for _, s := range Mounts(r.Self) {
		order = append(order, s.Name)
	}
	seen := map[string]bool{}
	for _, m := range Measures() {
		base := r.samples[m.Name][m.Baseline]
		for _, subject := range order {
			samples := r.samples[m.Name][subject]
			if len(samples) == 0 {
				continue
			}
			f := Figure{Measure: m, Subject: subject, Samples: samples, Median: median(samples)}
			var ratios []float64
			for i := range min(len(base), len(samples)) {
				if m.Less {
					ratios = append(ratios, base[i]/samples[i])
				} else {
					ratios = append(ratios, samples[i]/base[i])
				}
			}
			if ratio := median(ratios); !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
				f.Ratio = ratio
			}
			out.Figures = append(out.Figures, f)
			seen[subject] = true
		}
	}
	for _, subject := range order {
		if seen[subject] {
			out.Subjects = append(out.Subjects, subject)
		}
	}
	return out
}

// find returns a figure.
func (w WorkloadResult) find(measure, subject string) (Figure, bool) {
	for _, f := range w.Figures {
		if f.Name == measure && f.Subject == subject {
			return f, true
		}
	}
	return Figure{}, false
}

// WriteMarkdown writes a table for each workload: ratios first, the figures
// behind them.
func (res *Result) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	m := res.Machine
	fmt.Fprintf(&b, "snapfs %s, %s; %s, %d CPUs, %.0f GiB, Linux %s; scale %g, medians of %d; load at the start %s.\n",
		res.Version, res.Time.Format("2006-01-02 15:04 MST"), m.CPU, m.CPUs, float64(m.Memory)/(1<<30), m.Kernel, res.Scale, res.Runs, m.Load)
	for _, wl := range res.Workloads {
		what := fmt.Sprintf("%d files, %.0f MB, %d tars", wl.Files, float64(wl.Bytes)/1e6, wl.Layers)
		if wl.Keys > 0 {
			what = fmt.Sprintf("%d keys, %.0f MB", wl.Keys, float64(wl.Bytes)/1e6)
		}
		fmt.Fprintf(&b, "\n### %s%s: %s\n\n| | baseline |", strings.ToUpper(wl.Title[:1]), wl.Title[1:], what)
		for _, s := range wl.Subjects {
			fmt.Fprintf(&b, " %s |", s)
		}
		b.WriteString("\n|---|---|" + strings.Repeat("---|", len(wl.Subjects)) + "\n")
		for _, measure := range Measures() {
			var row strings.Builder
			any := false
			for _, s := range wl.Subjects {
				f, ok := wl.find(measure.Name, s)
				switch {
				case !ok:
					row.WriteString(" – |")
				case f.Ratio > 0 && s != measure.Baseline:
					fmt.Fprintf(&row, " **%.2f** (%s) |", f.Ratio, number(f.Median))
				default:
					fmt.Fprintf(&row, " %s |", number(f.Median))
				}
				any = any || ok
			}
			if any {
				fmt.Fprintf(&b, "| %s, %s | %s |%s\n", measure.Name, measure.Unit, measure.Baseline, row.String())
			}
		}
		for _, s := range Mounts(nil) {
			if why := wl.Notes[s.Name]; why != "" {
				fmt.Fprintf(&b, "\n%s: %s.\n", s.Name, strings.TrimSuffix(strings.ReplaceAll(why, "\n", "; "), "."))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// number formats a figure with three digits that count.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// machine describes this one, as far as it tells.
func machine() Machine {
	m := Machine{CPU: runtime.GOARCH, CPUs: runtime.NumCPU()}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(b)); len(f) >= 3 {
			m.Load = strings.Join(f[:3], " ")
		}
	}
	return m
}
