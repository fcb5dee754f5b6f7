package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/doctor"
	"github.com/snapfs/snapfs/internal/sample"
)

// examine finds and examines what lies at a path.
func examine(t *testing.T, path string, opts doctor.Options) *doctor.Report {
	t.Helper()
	found, problems, err := doctor.Find(t.Context(), path)
	if err != nil || len(problems) > 0 || len(found) != 1 {
		t.Fatalf("found %v, %v, %v", found, problems, err)
	}
	r, err := doctor.Examine(t.Context(), found[0].Path, opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Findings = append(r.Findings, found[0].Stray...)
	return r
}

// codes returns the codes of errors and warnings, each once, sorted.
func codes(r *doctor.Report) string {
	var out []string
	for _, f := range r.Findings {
		if f.Level != doctor.Note {
			out = append(out, string(f.Code))
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

func verdicts(r *doctor.Report) string {
	var b strings.Builder
	for _, p := range r.Points {
		b.WriteByte(p.Verdict[0])
	}
	return b.String()
}

func lines(r *doctor.Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(string(f.Level) + " " + string(f.Code) + " " + f.Layer + ": " + f.Text + "\n    hint: " + f.Hint + "\n")
	}
	return b.String()
}

func sampleChain(t *testing.T) string {
	t.Helper()
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}
