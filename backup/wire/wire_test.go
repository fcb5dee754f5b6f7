package wire

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/snapfs/snapfs/chain"
)

func TestReadRequest(t *testing.T) {
	broken := errors.New("broken line")
	for _, tt := range []struct {
		name string
		in   io.Reader
		want string // as a request again
		err  error
	}{
		{"null", strings.NewReader("null\n"), `{"files":[]}`, nil},
		{"null without newline", strings.NewReader("null"), `{"files":[]}`, nil},
		{"object", strings.NewReader("{}"), `{"files":[]}`, nil},
		{"no files", strings.NewReader(`{"files":null}`), `{"files":[]}`, nil},
		{"empty files", strings.NewReader(`{"files":[]}` + "\nmore"), `{"files":[]}`, nil},
		{"without a time", strings.NewReader(`{"files":[{"name":"a","size":1}]}`), `{"files":[{"name":"a","size":1,"lastModified":"0001-01-01T00:00:00Z"}]}`, nil},
		{"other keys", strings.NewReader(`{"x":[1,{}],"files":[{"NAME":"a","y":2}]}`), `{"files":[{"name":"a","size":0,"lastModified":"0001-01-01T00:00:00Z"}]}`, nil},
		{"time", strings.NewReader(`{"files":[{"name":"a","size":1,"lastModified":"2015-11-01T05:34:05.25+05:30"}]}`), `{"files":[{"name":"a","size":1,"lastModified":"2015-11-01T05:34:05.25+05:30"}]}`, nil},
		{"byte by byte", iotest.OneByteReader(strings.NewReader(`{"files":[{"name":"a","size":1}]}`)), `{"files":[{"name":"a","size":1,"lastModified":"0001-01-01T00:00:00Z"}]}`, nil},
		{"nothing", strings.NewReader(""), "", io.EOF},
		{"blank", strings.NewReader(" \n"), "", io.EOF},
		{"garbage", strings.NewReader("xyz\n"), "", ErrRequest},
		{"array", strings.NewReader("[]"), "", ErrRequest},
		{"cut", strings.NewReader(`{"files":[`), "", ErrRequest},
		{"time of another kind", strings.NewReader(`{"files":[{"name":"a","lastModified":3}]}`), "", ErrRequest},
		{"time that is none", strings.NewReader(`{"files":[{"name":"a","lastModified":"x"}]}`), "", ErrRequest},
		{"negative index", strings.NewReader(`{"files":[{"name":"a","index":-1}]}`), "", ErrRequest},
		{"deep", strings.NewReader(strings.Repeat(`{"a":`, 20000)), "", ErrRequest},
		{"too large", strings.NewReader(`{"files":[` + strings.Repeat(`{"name":"a"},`, 20000)), "", ErrTooLarge},
		{"endless blanks", strings.NewReader(strings.Repeat(" ", 300000)), "", ErrTooLarge},
		{"broken", io.MultiReader(strings.NewReader(`{"files":`), iotest.ErrReader(broken)), "", broken},
	} {
		m, err := ReadRequest(tt.in, 200000)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
		}
		if err == nil {
			if got := string(m.AppendJSON(nil)); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		}
	}
}

func TestAppendRequest(t *testing.T) {
	if got := string(AppendRequest([]byte{Header}, nil)); got != "\x03null\n" {
		t.Errorf("%q", got)
	}
	if got := string(AppendRequest(nil, &chain.Manifest{})); got != "{\"files\":null}\n" {
		t.Errorf("%q", got)
	}
}

// TestNewer is the difference rule, case by case.
func TestNewer(t *testing.T) {
	at := func(s int) chain.Stamp { return chain.Stamp{Time: time.Unix(int64(s), 0)} }
	index := func(n int) chain.Stamp { return chain.Stamp{Index: uint64(n)} }
	for _, tt := range []struct {
		name    string
		dialect chain.Dialect
		have    chain.Stamp
		known   []chain.Stamp // of the same name
		sent    bool
	}{
		{"unknown to the client", chain.ByTime, at(1), nil, true},
		{"older there", chain.ByTime, at(2), []chain.Stamp{at(1)}, true},
		{"a nanosecond older", chain.ByTime, at(2), []chain.Stamp{{Time: time.Unix(2, -1)}}, true},
		{"the same", chain.ByTime, at(2), []chain.Stamp{at(2)}, false},
		{"the same in another zone", chain.ByTime, at(2), []chain.Stamp{{Time: time.Unix(2, 0).In(time.FixedZone("", 3600))}}, false},
		{"newer there", chain.ByTime, at(2), []chain.Stamp{at(3)}, false},
		{"no time there", chain.ByTime, at(2), []chain.Stamp{{}}, true},
		{"an index there", chain.ByTime, at(2), []chain.Stamp{index(9)}, true},
		{"twice there", chain.ByTime, at(2), []chain.Stamp{at(1), at(2), at(0)}, false},
		{"older index there", chain.ByIndex, index(2), []chain.Stamp{index(1)}, true},
		{"same index", chain.ByIndex, index(2), []chain.Stamp{index(2)}, false},
		{"newer index there", chain.ByIndex, index(2), []chain.Stamp{index(3)}, false},
		{"a time there", chain.ByIndex, index(2), []chain.Stamp{at(9)}, true},
	} {
		have := chain.Manifest{Dialect: tt.dialect, Files: []chain.ManifestFile{{Name: "a", Size: 7, Stamp: tt.have}}}
		known := chain.Manifest{Files: []chain.ManifestFile{{Name: "b", Size: 7, Stamp: tt.have}}}
		for _, s := range tt.known {
			known.Files = append(known.Files, chain.ManifestFile{Name: "a", Size: 9, Stamp: s})
		}
		got := Newer(have, known)
		if sent := slices.Equal(got.Files, have.Files); sent != tt.sent || !sent && got.Files != nil || got.Dialect != tt.dialect {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// FuzzReadRequest wants what is read to be no more than was sent, and not to be
// sent to one who knows it.
func FuzzReadRequest(f *testing.F) {
	for _, s := range []string{"null\n", "{}", `{"files":null}`, `{"files":[{"name":"a","size":1,"lastModified":"2015-11-01T05:34:05.25+05:30"}]}`, `{"files":[{"name":"a","index":3}]}`, "[]", `{"files":[{"name":"\ud800"}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ReadRequest(strings.NewReader(s), 1<<20)
		if err != nil {
			if !errors.Is(err, ErrRequest) && !errors.Is(err, ErrTooLarge) && err != io.EOF {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if len(m.Files) > len(s) {
			t.Errorf("%q: %d files", s, len(m.Files))
		}
		for _, d := range []chain.Dialect{chain.ByTime, chain.ByIndex} {
			// All that is known is not newer than itself.
			have := chain.Manifest{Dialect: d, Files: slices.Clone(m.Files)}
			for i := range have.Files {
				if s := &have.Files[i].Stamp; d == chain.ByTime {
					s.Index = 0
				} else {
					s.Time = time.Time{}
				}
			}
			if got := Newer(have, m); got.Files != nil {
				t.Errorf("%q: %v", s, got)
			}
		}
	})
}
