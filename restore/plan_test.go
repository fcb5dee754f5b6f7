package restore

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapfs/snapfs/internal/hint"
)

var (
	_ encoding.TextMarshaler   = Never
	_ encoding.TextUnmarshaler = (*Overwrite)(nil)
)

func TestOverwriteText(t *testing.T) {
	for o, text := range map[Overwrite]string{Never: "never", IfChanged: "if-changed", IfNewer: "if-newer", Always: "always"} {
		b, err := json.Marshal(o)
		if err != nil || string(b) != `"`+text+`"` || o.String() != text {
			t.Errorf("%d: %s, %v", o, b, err)
		}
		var back Overwrite
		if err := json.Unmarshal(b, &back); err != nil || back != o {
			t.Errorf("%s: %v, %v", b, back, err)
		}
	}
	o := IfNewer
	if err := o.UnmarshalText([]byte("Always")); err == nil || o != IfNewer {
		t.Errorf("an unknown word: %v, %v", o, err)
	}
	if _, err := Overwrite(9).MarshalText(); err == nil {
		t.Error("an unknown policy has a text")
	}
}

// TestActions: one path of the tree, one thing in the target, each policy.
func TestActions(t *testing.T) {
	file := func(text string, at time.Time) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(text), Mode: 0o644, ModTime: at}
	}
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777, ModTime: when}
	}
	folder := &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: when}
	pipe := &fstest.MapFile{Mode: fs.ModeNamedPipe | 0o644, ModTime: when}
	later, before := when.Add(time.Hour), when.Add(-time.Hour)
	tests := []struct {
		name     string
		src, old *fstest.MapFile
		want     string // for never, if-changed, if-newer, always
	}{ // a link that is there is as new as this test
		{"new file", file("a", when), nil, "create create create create"},
		{"new link", link("x"), nil, "symlink symlink symlink symlink"},
		{"new directory", folder, nil, "mkdir mkdir mkdir mkdir"},
		{"pipe", pipe, nil, "skip skip skip skip"},
		{"equal", file("a", when), file("a", when), "keep keep keep overwrite"},
		{"other content", file("a", when), file("b", when), "conflict keep keep overwrite"},
		{"other size", file("a", when), file("bb", when), "conflict overwrite keep overwrite"},
		{"older there", file("a", when), file("a", before), "conflict overwrite overwrite overwrite"},
		{"newer there", file("a", when), file("a", later), "conflict overwrite keep overwrite"},
		{"no time, equal", file("a", time.Time{}), file("a", later), "keep keep keep overwrite"},
		{"no time, other content", file("a", time.Time{}), file("b", later), "conflict overwrite keep overwrite"},
		{"whole seconds there", file("a", when), file("a", when.Truncate(time.Second)), "keep keep keep overwrite"},
		{"a second off", file("a", when), file("a", when.Truncate(time.Second).Add(time.Second)), "conflict overwrite keep overwrite"},
		{"same link", link("x"), link("x"), "keep keep keep overwrite"},
		{"other link", link("x"), link("y"), "conflict overwrite keep overwrite"},
		{"file over link", file("a", when), link("x"), "conflict overwrite keep overwrite"},
		{"link over file", link("x"), file("a", before), "conflict overwrite overwrite overwrite"},
		{"directory over directory", folder, folder, "keep keep keep keep"},
		{"file over directory", file("a", when), folder, "conflict conflict conflict conflict"},
		{"link over directory", link("x"), folder, "conflict conflict conflict conflict"},
		{"directory over file", folder, file("a", when), "conflict conflict conflict conflict"},
		{"directory over link", folder, link("."), "conflict conflict conflict conflict"},
		{"file over pipe", file("a", when), pipe, "conflict conflict conflict conflict"},
		{"pipe beside pipe", pipe, pipe, "skip skip skip skip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, o := range []Overwrite{Never, IfChanged, IfNewer, Always} {
				dst := t.TempDir()
				switch {
				case tt.old == pipe:
					if err := syscall.Mkfifo(filepath.Join(dst, "p"), 0o644); err != nil {
						t.Fatal(err)
					}
				case tt.old != nil:
					put(t, dst, fstest.MapFS{"p": tt.old})
				}
				src := fstest.MapFS{"p": tt.src}
				before := dump(t, dst)
				plan, err := NewPlan(t.Context(), dst, src, Options{Overwrite: o, NoSync: true})
				if err != nil {
					t.Fatal(err)
				}
				steps := slices.Collect(plan.Steps())
				if len(steps) != 1 || steps[0].Path != "p" {
					t.Fatalf("steps: %+v", steps)
				}
				if dump(t, dst) != before {
					t.Fatal("planning changed the target")
				}
				action := steps[0].Action
				got = append(got, action.String())
				r, err := plan.Run(t.Context())
				if action == ActionConflict {
					if !errors.Is(err, ErrConflict) || !errors.Is(plan.Err(), ErrConflict) || hint.Of(err) == "" || r.Conflicts != 1 {
						t.Errorf("%v: %v, hint %q, %+v", o, err, hint.Of(err), r)
					}
				} else if err != nil || plan.Err() != nil {
					t.Errorf("%v: %v, %v", o, err, plan.Err())
				}
				switch action {
				case ActionCreate, ActionOverwrite, ActionSymlink, ActionMkdir:
					sameTree(t, dst, src)
					if want := plan.Report(); r.Created != want.Created || r.Overwritten != want.Overwritten || r.Dirs != want.Dirs || r.Bytes != want.Bytes || r.Files != want.Files {
						t.Errorf("%v: report %+v, planned %+v", o, r, want)
					}
				default:
					if tt.src == folder && action == ActionKeep {
						break // its time is set all the same
					}
					if dump(t, dst) != before {
						t.Errorf("%v: %v changed the target", o, action)
					}
				}
				noTemps(t, dst)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestConflictWritesNothing: one conflict among many files, and the target
// stays as it was, the leftovers of a killed restore included.
func TestConflictWritesNothing(t *testing.T) {
	dst := t.TempDir()
	put(t, dst, lines("z/last mine\n keep/me too\n"+tempName(7)+" left"))
	before := dump(t, dst)
	src := lines("a 1\n b/c 2\n z/last theirs\n z/x/ \n")
	plan, err := NewPlan(t.Context(), dst, src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := plan.Run(t.Context())
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "z/last: exists, and differs") || !strings.Contains(hint.Of(err), "--overwrite") {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
	if r.Files != 0 || r.Conflicts != 1 || r.Remaining != 2 {
		t.Errorf("report %+v", r)
	}
	if after := dump(t, dst); after != before {
		t.Errorf("the target changed from\n%s to\n%s", before, after)
	}

	// Where overwriting is no way out, the hint does not say so.
	src = lines("keep file")
	if _, err = Copy(t.Context(), dst, src, Options{Overwrite: Always}); !errors.Is(err, ErrConflict) || strings.Contains(hint.Of(err), "--overwrite") {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
	if dump(t, dst) != before {
		t.Error("the target changed")
	}

	// The text stays short.
	many := ""
	for i := range 10 {
		many += fmt.Sprintf("f%d x\n", i)
	}
	put(t, dst, lines(strings.ReplaceAll(many, " x", " y")))
	if _, err = Copy(t.Context(), dst, lines(many), Options{}); err == nil || !strings.HasSuffix(err.Error(), "; and 7 more") {
		t.Errorf("%v, want three and a count", err)
	}
}

func TestTargetNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dst := range []string{file, file + "/below"} {
		if _, err := Copy(t.Context(), dst, lines("a a"), Options{}); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v, want a conflict", dst, err)
		}
	}
	if _, err := Copy(t.Context(), "", lines("a a"), Options{}); err == nil {
		t.Error("an empty target is taken")
	}
	if _, err := Copy(t.Context(), t.TempDir(), os.DirFS(file), Options{}); err == nil {
		t.Error("a tree that is a file is taken")
	}
}

// TestPlanOrder: the plan is the same each time, in a fixed order, as JSON too.
func TestPlanOrder(t *testing.T) {
	src := lines("b/x 1\n a/z/y 22\n a/b 333\n a/a/ \n c -> a\n B 4\n b.d/e 5")
	const want = `create B
symlink c
mkdir a
create a/b
mkdir a/a
mkdir a/z
create a/z/y
mkdir b
create b/x
mkdir b.d
create b.d/e
`
	dst := filepath.Join(t.TempDir(), "new")
	var last []byte
	for range 3 {
		plan, err := NewPlan(t.Context(), dst, src, Options{})
		if err != nil {
			t.Fatal(err)
		}
		steps := slices.Collect(plan.Steps())
		b, err := json.Marshal(steps)
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && !bytes.Equal(b, last) {
			t.Errorf("%s and then %s", last, b)
		}
		last = b
		var got strings.Builder
		for _, s := range steps {
			fmt.Fprintf(&got, "%v %s\n", s.Action, s.Path)
		}
		if got.String() != want {
			t.Errorf("steps\n%s, want\n%s", got.String(), want)
		}
	}
	if !strings.Contains(string(last), `{"path":"a/b","action":"create","size":3,"mtime":"2015-11-02T03:04:05.678901234Z","mode":"-rw-r--r--"}`) {
		t.Errorf("JSON %s", last)
	}
	if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("planning made the target: %v", err)
	}
}

// TestModel restores random trees over random targets, and compares with what
// plain maps say.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	random := func() fstest.MapFS {
		m := fstest.MapFS{}
		for range rnd.IntN(8) {
			var elems []string
			for range 1 + rnd.IntN(3) {
				elems = append(elems, string(rune('a'+rnd.IntN(3))))
			}
			p := strings.Join(elems, "/")
			clash := false
			for q := range m {
				clash = clash || p == q || strings.HasPrefix(p, q+"/") || strings.HasPrefix(q, p+"/")
			}
			if !clash {
				m[p] = &fstest.MapFile{Mode: 0o644, Data: []byte{byte('0' + rnd.IntN(2))}, ModTime: when.Add(time.Duration(rnd.IntN(2)) * time.Hour)}
			}
		}
		return m
	}
	outcomes := map[string]int{}
	for round := range 400 {
		src, there, policy := random(), random(), Overwrite(rnd.IntN(4))
		want, conflict := maps.Clone(there), false
		for p, f := range src {
			for q := range there {
				conflict = conflict || strings.HasPrefix(p, q+"/") || strings.HasPrefix(q, p+"/")
			}
			old, ok := there[p]
			switch {
			case !ok:
				want[p] = f
			case policy == Never:
				conflict = conflict || string(old.Data) != string(f.Data) || !old.ModTime.Equal(f.ModTime)
			case policy == Always,
				policy == IfChanged && !old.ModTime.Equal(f.ModTime),
				policy == IfNewer && f.ModTime.After(old.ModTime):
				want[p] = f
			}
		}
		dst := t.TempDir()
		put(t, dst, there)
		_, err := Copy(t.Context(), dst, src, Options{Overwrite: policy, NoSync: true})
		if conflict {
			outcomes["conflict"]++
			want = there
		} else {
			outcomes["copied"]++
		}
		if errors.Is(err, ErrConflict) != conflict || (err != nil) != conflict {
			t.Fatalf("round %d: %v: %v, want conflict %v", round, policy, err, conflict)
		}
		got := fstest.MapFS{}
		for _, p := range names(t, dst) {
			st, err := os.Lstat(filepath.Join(dst, p))
			if err != nil {
				t.Fatal(err)
			}
			if !st.IsDir() {
				data, _ := os.ReadFile(filepath.Join(dst, p))
				got[p] = &fstest.MapFile{Data: data, ModTime: st.ModTime()}
			}
		}
		if !maps.EqualFunc(got, want, func(a, b *fstest.MapFile) bool {
			return string(a.Data) == string(b.Data) && a.ModTime.Equal(b.ModTime)
		}) {
			t.Fatalf("round %d: %v: got %v, want %v", round, policy, got, want)
		}
	}
	if outcomes["conflict"] == 0 || outcomes["copied"] == 0 {
		t.Errorf("one-sided: %v", outcomes)
	}
}
