package serverdir_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/serverdir"
)

// only prunes to names, each a database or a database and policy, and to
// shards, if there are any.
func only(names string, shards ...uint64) serverdir.Pruning {
	p := serverdir.Pruning{
		Database: func(db string) bool {
			return slices.ContainsFunc(strings.Fields(names), func(n string) bool { n, _, _ = strings.Cut(n, "/"); return n == db })
		},
		Policy: func(db, rp string) bool {
			return slices.ContainsFunc(strings.Fields(names), func(n string) bool { return n == db || n == db+"/"+rp })
		},
	}
	if shards != nil {
		p.Shard = func(id uint64) bool { return slices.Contains(shards, id) }
	}
	return p
}

// known describes what metadata know in short.
func known(t testing.TB, data []byte) string {
	t.Helper()
	m, err := influx.OpenMeta(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, db := range m.Databases {
		s := db.Name + "(" + db.DefaultPolicy
		for _, p := range db.Policies {
			s += " " + p.Name + ":"
			for _, g := range p.Groups {
				for _, sh := range g.Shards {
					s += fmt.Sprintf("%d,", sh.ID)
				}
			}
		}
		out = append(out, s+")")
	}
	for _, u := range m.Users {
		s := u.Name + "{"
		for _, db := range slices.Sorted(maps.Keys(u.Privileges)) {
			s += fmt.Sprintf("%s:%d,", db, u.Privileges[db])
		}
		out = append(out, s+"}")
	}
	return strings.Join(append(out, fmt.Sprint(m.MaxShardID)), " ")
}

// releaseMeta are metadata of a final release with users.
func releaseMeta() []byte {
	group := func(id uint64) []sample.Group {
		return []sample.Group{{ID: id, Start: sample.Start, End: sample.Start.Add(1)}}
	}
	b := sample.Meta{Databases: []sample.Database{
		{Name: "grid", Policies: []sample.Policy{{Name: "default", Groups: append(group(1), group(2)...)}, {Name: "week"}}},
		{Name: "other", Policies: []sample.Policy{{Name: "default", Groups: group(3)}}},
		{Name: "bare"},
	}}.Bytes()
	user := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "u")
	for _, db := range []string{"grid", "other"} {
		p := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), db)
		p = protowire.AppendVarint(protowire.AppendTag(p, 2, protowire.VarintType), 1)
		user = protowire.AppendBytes(protowire.AppendTag(user, 4, protowire.BytesType), p)
	}
	b = protowire.AppendBytes(protowire.AppendTag(b, 6, protowire.BytesType), user)
	// A field of some later release.
	return protowire.AppendString(protowire.AppendTag(b, 99, protowire.BytesType), "kept")
}

func TestPrune(t *testing.T) {
	const all = `grid(default default:1,2, week:) other(default default:3,)`
	for _, tt := range []struct {
		p               serverdir.Pruning
		release, before string // before the users
	}{
		{only("grid other"), all, `{grid:1,other:1,}`},
		{only("grid other bare"), all + " bare()", `{grid:1,other:1,}`},
		{only("grid"), `grid(default default:1,2, week:)`, `{grid:1,}`},
		{only("grid/default"), `grid(default default:1,2,)`, `{grid:1,}`},
		{only("grid/week other"), `grid(week week:) other(default default:3,)`, `{grid:1,other:1,}`},
		{only("grid other", 2, 3), `grid(default default:2,) other(default default:3,)`, `{grid:1,other:1,}`},
		{only("grid other", 3), `other(default default:3,)`, `{other:1,}`},
		{only("grid/none"), ``, `{}`},
		{only("none"), ``, `{}`},
	} {
		got, err := tt.p.Meta(releaseMeta())
		if err != nil {
			t.Error(err)
			continue
		}
		want := strings.TrimSpace(tt.release + " u" + tt.before + " 3")
		if s := known(t, got); s != want {
			t.Errorf("%s, want %s", s, want)
		}
		if !bytes.HasSuffix(got, []byte("kept")) {
			t.Error("an unknown field was lost")
		}

		if strings.Contains(tt.release, "bare") {
			continue
		}
		meta := candidateMeta(t)
		rc, err := tt.p.BoltMeta(t.Context(), bytes.NewReader(meta), int64(len(meta)))
		if err != nil {
			t.Error(err)
			continue
		}
		want = strings.TrimSpace(tt.release + ` root{} u` + strings.ReplaceAll(tt.before, "other:1", "other:2") + " 3")
		if s := known(t, rc); s != want {
			t.Errorf("candidate: %s, want %s", s, want)
		}
		again, err := tt.p.BoltMeta(t.Context(), bytes.NewReader(meta), int64(len(meta)))
		if err != nil || !bytes.Equal(rc, again) {
			t.Errorf("not the same each time: %v", err)
		}
		m, err := influx.OpenMeta(bytes.NewReader(rc), int64(len(rc)))
		if err != nil {
			t.Fatal(err)
		}
		for _, db := range m.Databases {
			n := 0
			for _, err := range m.Series(db.Name) {
				if err != nil {
					t.Error(err)
				}
				n++
			}
			if n != 1 {
				t.Errorf("%s has %d series", db.Name, n)
			}
		}
	}
}

// TestRealPrune prunes all real metadata to each of their databases.
func TestRealPrune(t *testing.T) {
	for _, snap := range realchains.All(t) {
		tree := openTree(t, snap, "full")
		meta := readFile(t, tree, "meta")
		m, err := influx.OpenMeta(bytes.NewReader(meta), int64(len(meta)))
		if err != nil {
			t.Fatal(err)
		}
		for i, db := range m.Databases {
			p := serverdir.Pruning{
				Database: func(name string) bool { return name == db.Name },
				Policy:   func(name, _ string) bool { return name == db.Name },
			}
			var got []byte
			if m.Format == influx.MetaBolt {
				got, err = p.BoltMeta(t.Context(), bytes.NewReader(meta), int64(len(meta)))
			} else {
				got, err = p.Meta(meta)
			}
			if err != nil {
				t.Fatal(err)
			}
			pruned, err := influx.OpenMeta(bytes.NewReader(got), int64(len(got)))
			if err != nil {
				t.Fatal(err)
			}
			want, err := json.Marshal(m.Databases[i : i+1])
			if err != nil {
				t.Fatal(err)
			}
			if left, err := json.Marshal(pruned.Databases); err != nil || !bytes.Equal(left, want) {
				t.Errorf("%s: %s, %v, want %s", filepath.Base(filepath.Dir(snap)), left, err, want)
			}
			for _, u := range pruned.Users {
				for name := range u.Privileges {
					if name != db.Name {
						t.Errorf("%s may still use %s", u.Name, name)
					}
				}
			}
		}
	}
}

// FuzzPrune: what can be read can be pruned, and then read again.
func FuzzPrune(f *testing.F) {
	f.Add(releaseMeta())
	f.Add(sample.Meta{}.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := influx.OpenMeta(bytes.NewReader(data), int64(len(data)))
		got, perr := only("grid/week other", 3).Meta(data)
		if err != nil || m.Format != influx.MetaProtobuf {
			return
		}
		if perr != nil {
			t.Fatal(perr)
		}
		pruned, err := influx.OpenMeta(bytes.NewReader(got), int64(len(got)))
		if err != nil {
			t.Fatal(err)
		}
		for _, db := range pruned.Databases {
			if db.Name != "grid" && db.Name != "other" {
				t.Errorf("database %q is left", db.Name)
			}
		}
		serverdir.NamingOf(data)
	})
}
