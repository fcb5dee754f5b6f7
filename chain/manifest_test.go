package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReadManifest(t *testing.T) {
	at := func(s string) Stamp {
		tm, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return Stamp{Time: tm}
	}
	for _, tt := range []struct {
		in   string
		want Manifest
		err  string
	}{
		{in: `{"files":[{"name":"a/b/1","size":5,"lastModified":"2015-11-02T03:04:05.119730818Z"}]}`,
			want: Manifest{ByTime, []ManifestFile{{"a/b/1", 5, at("2015-11-02T03:04:05.119730818Z")}}}},
		{in: `{"files":[{"name":"a","size":5,"lastModified":"2015-11-02T03:04:05+05:30"}]}`,
			want: Manifest{ByTime, []ManifestFile{{"a", 5, at("2015-11-02T03:04:05+05:30")}}}},
		{in: `{"files":[{"name":"meta","size":1,"index":359},{"name":"shards/1","size":2,"index":0}]}` + "\n",
			want: Manifest{ByIndex, []ManifestFile{{"meta", 1, Stamp{Index: 359}}, {"shards/1", 2, Stamp{}}}}},
		{in: ` { "files" : [ {"size":3, "name":"a\u003cb"} ] } trailing`,
			want: Manifest{Unknown, []ManifestFile{{"a<b", 3, Stamp{}}}}},
		{in: `{"files":null}`},
		{in: `{"files":[]}`, want: Manifest{Files: []ManifestFile{}}},
		{in: ``, err: "malformed manifest: EOF"},
		{in: `null`, err: "no list of files"},
		{in: `{}`, err: "no list of files"},
		{in: `[1]`, err: "cannot unmarshal array"},
		{in: `{"files":[{"size":1}]}`, err: "file 0: no name"},
		{in: `{"files":[{"name":"a","size":-1,"index":2}]}`, err: `"a": size -1 is negative`},
		{in: `{"files":[{"name":"a","size":1,"index":2,"lastModified":"2015-11-02T03:04:05Z"}]}`, err: "both lastModified and index"},
		{in: `{"files":[{"name":"a","size":1,"index":2},{"name":"b","size":1,"lastModified":"2015-11-02T03:04:05Z"}]}`, err: `file 1: "b": lastModified among files with index`},
		{in: `{"files":[{"name":"a","size":1,"lastModified":"yesterday"}]}`, err: `"a": lastModified: parsing time`},
		{in: `{"files":[{"name":"a","size":99999999999999999999,"index":1}]}`, err: "cannot unmarshal number"},
	} {
		got, err := ReadManifest(strings.NewReader(tt.in))
		if tt.err != "" {
			if !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("ReadManifest(%s): %v, want %q", tt.in, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ReadManifest(%s) = %+v, %v, want %+v", tt.in, got, err, tt.want)
		}
	}
}

func TestManifestJSON(t *testing.T) {
	for _, s := range []string{
		`{"files":[{"name":"meta","size":512,"lastModified":"2015-11-02T03:04:05.1Z"},{"name":"ä\u003c\"/default/1","size":0,"lastModified":"0001-01-01T00:00:00Z"}]}`,
		`{"files":[{"name":"meta","size":512,"lastModified":"2015-11-02T03:04:05+05:30"}]}`,
		`{"files":[{"name":"meta","size":65536,"index":359}]}`,
		`{"files":null}`,
	} {
		m, err := ReadManifest(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(m.AppendJSON(nil)); got != s {
			t.Errorf("wrote\n%s, want\n%s", got, s)
		}
	}
}

// FuzzManifest holds the fast path against encoding/json: it may decline, but
// where it answers it must be right.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"files":[{"name":"a","size":1,"index":2},{"name":"b","size":10,"index":20}]}`), int64(64))
	f.Add([]byte(`{"files":[{"name":"a","size":1,"lastModified":"2015-11-02T03:04:05.5+01:00"}]} `), int64(64))
	f.Add([]byte(`{"files":null}`), int64(64))
	f.Add([]byte("{\"files\": [{\"name\": \"a\", \"size\": 1, \"index\": 2}, {\"name\" :\"b\",\"size\":10\t,\"index\":20 }\r\n]\n}"), int64(64))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		d := new(draft)
		if !d.scan(bytes.NewReader(b), size) {
			_, _ = ReadManifest(bytes.NewReader(b))
			return
		}
		fast := d.manifest()
		var wire jsonManifest
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(&wire); err != nil {
			t.Fatalf("%q: the fast path took what encoding/json refuses: %v", b, err)
		}
		var slow Manifest
		for _, jf := range *wire.Files {
			file, err := slow.decode(jf)
			if err != nil {
				t.Fatalf("%q: the fast path took a file that is refused: %v", b, err)
			}
			slow.Files = append(slow.Files, file)
		}
		if fast.Dialect != slow.Dialect || string(fast.AppendJSON(nil)) != string(slow.AppendJSON(nil)) {
			t.Fatalf("%q: fast %+v, slow %+v", b, fast, slow)
		}
	})
}

func BenchmarkReadManifest(b *testing.B) {
	var m Manifest
	m.Dialect = ByTime
	base := time.Date(2015, 11, 2, 3, 4, 5, 119730818, time.UTC)
	for i := range 2000 {
		m.Files = append(m.Files, ManifestFile{fmt.Sprintf("telemetry/default/%d", i), 49152, Stamp{Time: base.Add(time.Duration(i) * time.Second)}})
	}
	data := m.AppendJSON(nil)
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := ReadManifest(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			var wire jsonManifest
			if err := json.Unmarshal(data, &wire); err != nil {
				b.Fatal(err)
			}
		}
	})
}
