package dirtree

import (
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// memory is a source whose file ref has the content files[ref].
type memory []memFile

type memFile struct {
	path string
	mode fs.FileMode
	data string // or target
}

var mtime = time.Unix(1446433445, 0)

func (m memory) Info(ref uint32) Info {
	in := Info{Mode: m[ref].mode, ModTime: mtime}
	if in.Mode.IsRegular() {
		in.Size = int64(len(m[ref].data))
	}
	return in
}
func (m memory) Content(ref uint32) (io.ReaderAt, error) { return strings.NewReader(m[ref].data), nil }
func (m memory) Link(ref uint32) (string, error)         { return m[ref].data, nil }

func (m memory) build(b *Builder) *FS {
	for i, f := range m {
		b.Add(f.path, uint32(i), f.mode)
	}
	return b.Build(m)
}

const (
	reg = fs.FileMode(0o444)
	dr  = fs.ModeDir | 0o755
	lnk = fs.ModeSymlink | 0o777
)

// list returns what fs.WalkDir finds: directories end in a slash, and files
// are followed by their content.
func list(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == ".":
		case d.IsDir():
			out = append(out, path+"/")
		case d.Type() == fs.ModeSymlink:
			target, err := fs.ReadLink(fsys, path)
			if err != nil {
				return err
			}
			out = append(out, path+" -> "+target)
		default:
			data, err := fs.ReadFile(fsys, path)
			if err != nil {
				return err
			}
			out = append(out, path+" "+string(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBuild(t *testing.T) {
	for _, tt := range []struct {
		name     string
		reserved []string
		in       memory
		want     []string
		renamed  []string
	}{
		{name: "empty"},
		{
			name: "parents are made up",
			in:   memory{{"a/b/c", reg, "1"}},
			want: []string{"a/", "a/b/", "a/b/c 1"},
		},
		{
			name: "any order in, byte order out",
			in:   memory{{"b/x", reg, "1"}, {"a.b", reg, "2"}, {"a/z", reg, "3"}, {"a-", reg, "4"}, {"a/b/c", reg, "5"}},
			want: []string{"a/", "a/b/", "a/b/c 5", "a/z 3", "a- 4", "a.b 2", "b/", "b/x 1"},
		},
		{
			name: "the last of a name wins",
			in:   memory{{"a", reg, "1"}, {"d", dr, ""}, {"a", reg, "2"}, {"d", dr, ""}, {"a", lnk, "d"}},
			want: []string{"a -> d", "d/"},
		},
		{
			name: "directories of their own",
			in:   memory{{".", dr, ""}, {"a", dr, ""}, {"a/b", reg, "1"}, {"c", dr, ""}},
			want: []string{"a/", "a/b 1", "c/"},
		},
		{
			name:    "a file and a directory of one name",
			in:      memory{{"a", dr, ""}, {"a/x", reg, "1"}, {"a", reg, "2"}, {"b/c/x", reg, "3"}, {"b/c", lnk, "c.d/x"}},
			want:    []string{"a 2", "a.d/", "a.d/x 1", "b/", "b/c -> c.d/x", "b/c.d/", "b/c.d/x 3"},
			renamed: []string{"a -> a.d", "b/c -> b/c.d"},
		},
		{
			name:    "the name beside is taken by a file and a directory",
			in:      memory{{"a", reg, "1"}, {"a/x", reg, "2"}, {"a.d", reg, "3"}, {"a.d.d/y", reg, "4"}},
			want:    []string{"a 1", "a.d 3", "a.d.d/", "a.d.d/y 4", "a.d.d.d/", "a.d.d.d/x 2"},
			renamed: []string{"a -> a.d.d.d"},
		},
		{
			name:    "a chain of takers",
			in:      memory{{"a", reg, "1"}, {"a/x", reg, "2"}, {"a.d", reg, "3"}, {"a.d/y", reg, "4"}},
			want:    []string{"a 1", "a.d 3", "a.d.d/", "a.d.d/x 2", "a.d.d.d/", "a.d.d.d/y 4"},
			renamed: []string{"a -> a.d.d", "a.d -> a.d.d.d"},
		},
		{
			name:     "a reserved name without the file",
			reserved: []string{"meta", "manifest"},
			in:       memory{{"meta/default/6", reg, "1"}, {"manifest", reg, "2"}, {"x/meta/1", reg, "3"}, {"manifest/a", reg, "4"}},
			want: []string{"manifest 2", "manifest.d/", "manifest.d/a 4", "meta.d/", "meta.d/default/", "meta.d/default/6 1",
				"x/", "x/meta/", "x/meta/1 3"},
			renamed: []string{"manifest -> manifest.d", "meta -> meta.d"},
		},
		{
			name:     "a real directory gives way to a reserved one",
			reserved: []string{"meta"},
			in:       memory{{"meta", reg, "0"}, {"meta/default/6", reg, "1"}, {"meta.d/default/7", reg, "2"}, {"meta.d.d", reg, "3"}},
			want: []string{"meta 0", "meta.d/", "meta.d/default/", "meta.d/default/6 1", "meta.d.d 3",
				"meta.d.d.d/", "meta.d.d.d/default/", "meta.d.d.d/default/7 2"},
			renamed: []string{"meta -> meta.d", "meta.d -> meta.d.d.d"},
		},
		{
			name:     "a real file does not",
			reserved: []string{"meta"},
			in:       memory{{"meta/6", reg, "1"}, {"meta.d", reg, "2"}},
			want:     []string{"meta.d 2", "meta.d.d/", "meta.d.d/6 1"},
			renamed:  []string{"meta -> meta.d.d"},
		},
		{
			name:     "a real directory stays where none is in the way",
			reserved: []string{"meta"},
			in:       memory{{"meta.d/6", reg, "1"}},
			want:     []string{"meta.d/", "meta.d/6 1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var renamed []string
			b := Builder{Reserved: tt.reserved, ModTime: mtime, Renamed: func(path, shown string) {
				renamed = append(renamed, path+" -> "+shown)
			}}
			fsys := tt.in.build(&b)
			if got := list(t, fsys); !slices.Equal(got, tt.want) {
				t.Errorf("tree:\n%q, want\n%q", got, tt.want)
			}
			slices.Sort(renamed)
			if !slices.Equal(renamed, tt.renamed) {
				t.Errorf("renamed %q, want %q", renamed, tt.renamed)
			}
			var expected []string
			for path, ref := range fsys.All() {
				expected = append(expected, path)
				if got, ok := fsys.Lookup(path); !ok || got != ref {
					t.Errorf("Lookup(%q) = %d, %v, want %d", path, got, ok, ref)
				}
			}
			if len(tt.want) > 0 && len(expected) == 0 {
				t.Errorf("All is empty")
			}
			if err := fstest.TestFS(fsys, expected...); err != nil && !strings.Contains(err.Error(), "expected empty") {
				t.Error(err)
			}
		})
	}
}
