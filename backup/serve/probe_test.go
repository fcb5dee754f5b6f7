package serve

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
)

const future = "2099-01-01T00:00:00Z"

// tcpProbes are requests over TCP, by the names that they have in the record of
// the probes of real servers, and what comes back.
var tcpProbes = map[string]struct {
	request   string
	halfClose bool
	files     []string // nil if the connection is closed
	reset     bool
}{
	"03 null nl":                 {request: "\x03null\n", files: everything},
	"null with half close":       {request: "\x03null", halfClose: true, files: everything},
	"03 {} no nl":                {request: "\x03{}", files: everything},
	"03 empty files":             {request: "\x03{\"files\":[]}\n", files: everything},
	"03 array":                   {request: "\x03[]\n"},
	"03 garbage":                 {request: "\x03garbage\n"},
	"03 half closed no manifest": {request: "\x03", halfClose: true},
	"09 unknown header":          {request: "\x09null\n", reset: true},
	"no header byte":             {request: "null\n", reset: true},
	"03 manifest lower-case/size only, no lastModified": {request: "\x03" + `{"files":[{"name":"a/default/1","size":28672},{"name":"meta","size":1}]}` + "\n", files: everything},
	"03 manifest all newer except shard 3": {
		request: "\x03" + `{"files":[{"name":"a/default/1","lastModified":"` + future + `"},{"name":"a/default/2","lastModified":"` + future + `"},{"name":"a/default/3","lastModified":"2015-01-01T00:00:00Z"},{"name":"meta","lastModified":"` + future + `"}]}` + "\n",
		files:   []string{"manifest", "a/default/3"},
	},
}

var everything = []string{"manifest", "a/default/1", "a/default/2", "a/default/3", "meta"}

// probed is the chain that is like the server which was probed: the sizes are
// the same, those of the manifests included.
func probed(meta int, third time.Time) sample.Layer {
	t := time.Date(2026, 11, 22, 11, 54, 31, 119730818, time.UTC)
	l := sample.Layer{Time: t, Files: []sample.File{{Name: "meta", Data: make([]byte, meta), Modified: t}}}
	for i := range 3 {
		l.Files = append(l.Files, sample.File{Name: fmt.Sprint("a/default/", i+1), Data: make([]byte, 28672), Modified: t})
	}
	l.Files[3].Modified = third
	return l
}

func TestTCPProbes(t *testing.T) {
	d := open(t, sampleChain(t, probed(175, monday)), Options{})
	for name, p := range tcpProbes {
		b, err := ask(t, d.tcp, p.request, p.halfClose)
		switch {
		case p.reset && (len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE)):
			t.Errorf("%s: %d bytes, %v, want a reset", name, len(b), err)
		case p.reset:
		case err != nil || len(b) > 0 && p.files == nil:
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		default:
			if got := list(t, b); fmt.Sprint(got) != fmt.Sprint(p.files) {
				t.Errorf("%s: %q, want %q", name, got, p.files)
			}
		}
	}
	for _, says := range []string{"header byte 0x09", "read manifest: ", "read header byte", "unexpected EOF"} {
		if says == "read header byte" {
			if _, err := ask(t, d.tcp, "", true); err != nil {
				t.Error(err)
			}
		}
		if says == "unexpected EOF" {
			if _, err := ask(t, d.tcp, "\x03{", true); err != nil {
				t.Error(err)
			}
		}
		if !strings.Contains(d.log.String(), says) {
			t.Errorf("the log does not say %q:\n%s", says, d.log)
		}
	}
}

// list returns the names of the members of a tar.
func list(t *testing.T, b []byte) (names []string) {
	t.Helper()
	if len(b) == 0 {
		return nil
	}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

func TestHTTPProbes(t *testing.T) {
	index := func(n uint64) sample.File {
		name := "meta"
		if n < 9 {
			name = "shards/1"
		}
		return sample.File{Name: name, Data: make([]byte, map[string]int{"meta": 45056, "shards/1": 24576}[name]), Index: n}
	}
	d := open(t, sampleChain(t, sample.Layer{Time: monday, Dialect: chain.ByIndex, Files: []sample.File{index(9), index(7)}}), Options{})
	off := open(t, d.origin, Options{Disabled: true})
	both := []string{"manifest", "meta", "shards/1"}
	get := func(base, method, path, body, encoding string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequest(method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if encoding != "" {
			req.Header.Set("Accept-Encoding", encoding)
		}
		// This transport adds a header and takes it off again if there is none.
		res, err := (&http.Transport{DisableCompression: encoding != ""}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, b
	}
	for _, tt := range []struct {
		name, method, path, body string
		files                    []string
	}{
		{"no body", "GET", "/data/snapshot", "", both},
		{"{}", "GET", "/data/snapshot", "{}", both},
		{"null", "GET", "/data/snapshot", "null\n", both},
		{"one known", "GET", "/data/snapshot", `{"files":[{"name":"meta","index":8},{"name":"shards/1","index":7}]}`, []string{"manifest", "meta"}},
		{"newer", "GET", "/data/snapshot", `{"files":[{"name":"meta","index":10},{"name":"shards/1","index":7}]}`, []string{"manifest"}},
	} {
		res, b := get(d.url.String(), tt.method, tt.path, tt.body, "identity")
		if got := list(t, b); res.StatusCode != 200 || fmt.Sprint(got) != fmt.Sprint(tt.files) || res.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %s, %q", tt.name, res.Status, got)
		}
	}
	res, b := get(d.url.String(), "GET", "/data/snapshot", `{"files":[{"name":"meta","index":9},{"name":"shards/1","index":7}]}`, "identity")
	if len(b) != 2048 || res.ContentLength != 2048 || string(b[512:526]) != `{"files":null}` {
		t.Errorf("nothing new: %d bytes, length %d", len(b), res.ContentLength)
	}
	res, b = get(d.url.String(), "GET", "/data/snapshot", "", "")
	if got := list(t, b); !res.Uncompressed || fmt.Sprint(got) != fmt.Sprint(both) {
		t.Errorf("compressed: %v, %q", res.Uncompressed, got)
	}
	res, b = get(d.url.String(), "GET", "/data/snapshot", "", "gzip")
	if res.Header.Get("Content-Encoding") != "gzip" || len(b) > 2000 {
		t.Errorf("compressed: %q, %d bytes", res.Header.Get("Content-Encoding"), len(b))
	}

	for _, tt := range []struct {
		name, base, method, path, body string
		code                           int
		want                           string
	}{
		{"bad JSON", d.url.String(), "GET", "/data/snapshot", "xyz", 400, `{"error":"error reading previous snapshot: invalid character 'x' looking for beginning of value"}`},
		{"POST", d.url.String(), "POST", "/data/snapshot", "", 405, "Method Not Allowed\n"},
		{"another path", d.url.String(), "GET", "/query", "", 404, `{"error":"not found"}`},
		{"disabled", off.url.String(), "GET", "/data/snapshot", "", 404, `{"error":"not found"}`},
	} {
		res, b := get(tt.base, tt.method, tt.path, tt.body, "")
		kind := "application/json"
		if tt.code == 405 {
			kind = "text/plain; charset=utf-8"
			if res.Header.Get("Allow") != "GET" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %v", tt.name, res.Header)
			}
		}
		if res.StatusCode != tt.code || string(b) != tt.want || res.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %s, %s, %q", tt.name, res.Status, res.Header.Get("Content-Type"), b)
		}
	}
	if _, err := ask(t, off.tcp, "\x03null\n", false); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("disabled: %v", err)
	}
	if log := off.log.String(); strings.Count(log, "snapshots are disabled") != 2 {
		t.Errorf("%s", log)
	}
}

// TestRecorded compares the answers with those that were recorded of real
// servers, byte counts and members.
func TestRecorded(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(realchains.Dir(t), "protocol-probes.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no record")
	} else if err != nil {
		t.Fatal(err)
	}
	var record map[string]map[string][]any
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for release, meta := range map[string]int{"v0.9.2": 175, "v0.9.6.1": 181} {
		third := time.Date(2026, 11, 22, 11, 54, 31, 119730818, time.UTC)
		if release == "v0.9.2" {
			third = third.Truncate(10) // whose time there ended in a zero
		}
		d := open(t, sampleChain(t, probed(meta, third)), Options{})
		for name, want := range record[release] {
			p, ok := tcpProbes[name]
			if !ok && name != "03 nothing more" { // which waits, see TestSlow
				t.Errorf("%s: %q is not tried", release, name)
			}
			if !ok {
				continue
			}
			compared++
			b, err := ask(t, d.tcp, p.request, p.halfClose)
			if strings.Contains(fmt.Sprint(want[0]), "ConnectionReset") {
				if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Errorf("%s: %s: %d bytes, %v", release, name, len(b), err)
				}
				continue
			}
			first, _, _ := strings.Cut(fmt.Sprint(want[0]), ",")
			if got := fmt.Sprintf("%d bytes", len(b)); err != nil || got != first {
				t.Errorf("%s: %s: %s, %v, want %s", release, name, got, err, first)
			}
			var members []any
			if len(b) > 0 {
				for r := tar.NewReader(bytes.NewReader(b)); ; {
					h, err := r.Next()
					if err != nil {
						break
					}
					members = append(members, []any{h.Name, float64(h.Size)})
				}
			}
			if list, _ := want[1].([]any); fmt.Sprint(members) != fmt.Sprint(list) {
				t.Errorf("%s: %s: %v, want %v", release, name, members, list)
			}
		}
	}
	index := sampleChain(t, sample.Layer{Time: monday, Dialect: chain.ByIndex, Files: []sample.File{
		{Name: "meta", Data: make([]byte, 45056), Index: 9}, {Name: "shards/1", Data: make([]byte, 24576), Index: 7}}})
	d := open(t, index, Options{})
	for name, body := range map[string]string{"GET no body": "", "GET {}": "{}", "GET bad json": "xyz", "GET files newer": `{"files":[{"name":"meta","index":99},{"name":"shards/1","index":99}]}`} {
		want := record["v0.9.0-rc30"][name]
		if len(want) < 4 {
			t.Errorf("rc30: no record of %q", name)
			continue
		}
		req, err := http.NewRequest(http.MethodGet, d.url.String()+"/data/snapshot", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		compared++
		if err != nil || float64(res.StatusCode) != want[0] || float64(len(b)) != want[2] {
			t.Errorf("rc30: %s: %s, %d bytes, %v, want %v and %v", name, res.Status, len(b), err, want[0], want[2])
		}
	}
	if compared < 24 {
		t.Errorf("%d probes compared", compared)
	}
}
