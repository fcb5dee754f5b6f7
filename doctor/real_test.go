package doctor_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snapfs/snapfs/doctor"
	"github.com/snapfs/snapfs/internal/realchains"
)

// TestRealChains holds what is known of the chains of real servers.
func TestRealChains(t *testing.T) {
	known := map[string]struct{ codes, verdicts string }{
		"v0.9.0-rc30-small": {"", "wwwwww"},
		"v0.9.2-oddnames":   {"", "ww"},
		"v0.9.2-small":      {"", "wwwwwww"},
		"v0.9.2-torn":       {"torn", "lll"},
		"v0.9.4.2p-small":   {"empty-layer", "wwwwwn"},
		"v0.9.5.1-small":    {"", "wwwwww"},
	}
	for _, path := range realchains.All(t) {
		name := filepath.Base(filepath.Dir(path))
		want, ok := known[name]
		if !ok {
			continue
		}
		r := examine(t, path, doctor.Options{})
		if codes(r) != want.codes || verdicts(r) != want.verdicts {
			t.Errorf("%s: %q %q\n%s", name, codes(r), verdicts(r), lines(r))
		}
		if name == "v0.9.2-torn" {
			compareClasses(t, path, r)
		}
		if want.codes == "" {
			realFaults(t, path)
		}
	}
}

// compareClasses compares with the verdict of an independent reader of pages.
func compareClasses(t *testing.T, path string, r *doctor.Report) {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "truth/classes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth map[string]map[string]struct{ Class string }
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range r.Findings {
		if f.Code == doctor.Torn {
			got[filepath.Base(f.File)+"/"+f.Name] = string(f.Class)
		}
	}
	torn := 0
	for layer, shards := range truth {
		for name, s := range shards {
			want := s.Class[:1]
			if want == "A" {
				want = ""
			} else {
				torn++
			}
			if got[layer+"/"+name] != want {
				t.Errorf("%s %s: class %q, want %q", layer, name, got[layer+"/"+name], want)
			}
		}
	}
	if torn != 21 || len(got) != torn {
		t.Errorf("%d torn by the truth, %d by us", torn, len(got))
	}
}

// realFaults injects faults that fit any chain.
func realFaults(t *testing.T, path string) {
	sound := read(t, path)
	last := len(sound.m) - 2
	layer := "snap"
	if last >= 0 {
		layer = "snap." + string(rune('0'+last))
	}
	size := int64(len(sound.m[layer]))
	for _, c := range []struct {
		codes string
		do    func(f files)
	}{
		{"truncated", func(f files) { f.cut(layer, size-1024-512) }},
		{"no-end-mark", func(f files) { f.cut(layer, size-1024) }},
		{"bad-manifest truncated", func(f files) { f.cut(layer, 530) }},
		{"empty-layer", func(f files) { f.cut(layer, 0) }},
		{"bad-header", func(f files) { f.m[layer][7] ^= 1 }},
		{"pending", func(f files) { f.m[layer+".pending"] = nil }},
		{"stray-file", func(f files) { f.m[layer+".gz"] = []byte("\x1f\x8b\x08") }},
		{"appended", func(f files) { f.m[layer] = append(f.m[layer], f.m[layer]...) }},
		{"no-full", func(f files) { delete(f.m, "snap") }},
		{"missing-member", func(f files) {
			f.edit(layer, func(b *tarball) { b.members = slices.Delete(b.members, len(b.members)-1, len(b.members)) })
		}},
		{"size-mismatch", func(f files) { f.edit(layer, func(b *tarball) { b.manifest.Files[0].Size += 512 }) }},
	} {
		f := sound.clone(t)
		c.do(f)
		dir := t.TempDir()
		f.write(dir)
		r := examine(t, dir+"/snap", doctor.Options{Depth: doctor.Signs})
		if got := codes(r); got != c.codes && !(c.codes == "no-full" && strings.Contains(got, c.codes)) {
			t.Errorf("%s: codes %q, want %q\n%s", path, got, c.codes, lines(r))
		}
	}
}
