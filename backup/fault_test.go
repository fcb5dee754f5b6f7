package backup

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapfs/snapfs/chain"
	"github.com/snapfs/snapfs/internal/sample"
)

// refuses runs a backup that must fail, with want unless that is nil, and wants the directory of the chain
// as it was. Then the same number must be free.
func refuses(t *testing.T, name, path string, src Source, want error) error {
	t.Helper()
	before := state(t, filepath.Dir(path))
	_, err := Take(t.Context(), path, src, Options{})
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", name, err, want)
	}
	if after := state(t, filepath.Dir(path)); after != before {
		t.Errorf("%s: %s, was %s", name, after, before)
	}
	return err
}

// TestCut ends the answer after each twentieth of it, and around its marks, in
// each of the ways that a connection ends.
func TestCut(t *testing.T) {
	later := monday.Add(2 * time.Hour)
	broken := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	existing := base(t)
	for _, tt := range []struct {
		name, path string
		answer     []byte
	}{
		{"full", filepath.Join(t.TempDir(), "snap"), layer(t, monday, metaFile(monday), shardFile(t, "db/rp/1", monday), shardFile(t, "db/rp/2", monday))},
		{"incremental", existing, layer(t, later, metaFile(later), shardFile(t, "db/rp/2", later))},
	} {
		size := len(tt.answer)
		cuts := []int{1, 511, 512, 513, 1024, size - 1025, size - 1024, size - 1023, size - 513, size - 512, size - 511, size - 1}
		for i := range 20 {
			cuts = append(cuts, size*i/20)
		}
		for _, n := range cuts {
			name := fmt.Sprintf("%s, %d of %d bytes", tt.name, n, size)
			err := refuses(t, name, tt.path, answers(tt.answer[:n]), ErrAnswer)
			if want := fmt.Sprintf("after %d bytes", n); n > 0 && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", name, err, want)
			}
			reset := asked(func(context.Context, *chain.Manifest) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(bytes.NewReader(tt.answer[:n]), iotest.ErrReader(broken))), nil
			})
			if err := refuses(t, name, tt.path, reset, ErrAnswer); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r := take(t, tt.path, answers(tt.answer), Options{}); r.Path != tt.path && r.Path != tt.path+".1" {
			t.Errorf("%s: a number was used up: %+v", tt.name, r)
		}
	}
}

// member is one of a tar that no honest server sends.
type member struct {
	name string
	data string
	tar.Header
}

func tarOf(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := m.Header
		h.Name, h.Size, h.Mode, h.Typeflag = m.name, int64(len(m.data)), 0o666, cmp.Or(h.Typeflag, tar.TypeReg)
		if h.Typeflag != tar.TypeReg {
			h.Size = 0
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.data[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHostile refuses answers that are no layers.
func TestHostile(t *testing.T) {
	const when = `"lastModified":"2015-11-02T05:04:05Z"`
	list := func(files string) member { return member{name: "manifest", data: `{"files":[` + files + `]}`} }
	a, b := member{name: "a", data: "aaa"}, member{name: "b", data: "bb"}
	la, lb := `{"name":"a","size":3,`+when+`}`, `{"name":"b","size":2,`+when+`}`
	good := tarOf(t, list(la+","+lb), a, b)
	var sparse bytes.Buffer // a member of 3 bytes, all of them hole
	sparse.Write(tarOf(t, list(la))[:1024])
	block := make([]byte, 512)
	copy(block, "GNU.sparse.map") // a header with a wrong checksum
	sparse.Write(block)

	for _, tt := range []struct {
		name   string
		answer []byte
		says   string
	}{
		{"text", []byte(strings.Repeat("no tar\n", 500)), "offset 512"},
		{"JSON error", []byte(`{"error":"not found"}`), "ends after 21 bytes"},
		{"only an end mark", make([]byte, 1024), `ends without "manifest"`},
		{"no manifest", tarOf(t, a, b), `"a" where "manifest"`},
		{"manifest later", tarOf(t, a, list(la)), `"a" where "manifest"`},
		{"manifest is a directory", tarOf(t, member{name: "manifest", Header: tar.Header{Typeflag: tar.TypeDir}}), "not a regular file"},
		{"manifest is a link", tarOf(t, member{name: "manifest", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}), "not a regular file"},
		{"manifest of garbage", tarOf(t, member{name: "manifest", data: "garbage"}), "malformed manifest"},
		{"manifest of nothing", tarOf(t, member{name: "manifest"}), "malformed manifest"},
		{"manifest of 70 MiB", tarOf(t, member{name: "manifest", data: strings.Repeat(" ", 70<<20)})[:4096], "more than 67108864"},
		{"negative size", tarOf(t, list(strings.Replace(la, "3", "-3", 1)), a), "negative"},
		{"sum of sizes", tarOf(t, list(strings.Replace(la, "3", "4611686018427387000", 1)+","+strings.Replace(lb, "2", "4611686018427387000", 1)), a), "more bytes than any disk"},
		{"twice", tarOf(t, list(la+","+la), a, a), "must ascend"},
		{"not sorted", tarOf(t, list(lb+","+la), b, a), "must ascend"},
		{"lists itself", tarOf(t, list(`{"name":"manifest","size":3,`+when+`}`), member{name: "manifest", data: "xxx"}), `a file called "manifest"`},
		{"no time", tarOf(t, list(`{"name":"a","size":3}`), a), "how new"},
		{"dialect of another release", tarOf(t, list(`{"name":"a","size":3,"index":7}`), a), "those of the chain have lastModified"},
		{"a member is missing", tarOf(t, list(la+","+lb), b), `"b" where "a"`},
		{"the last member is missing", tarOf(t, list(la+","+lb), a), `ends without "b"`},
		{"another order", tarOf(t, list(la+","+lb), b, a), `"b" where "a"`},
		{"a member too many", tarOf(t, list(la), a, b), `"b" is not in its manifest`},
		{"another size", tarOf(t, list(la), member{name: "a", data: "aaaa"}), "has 4 bytes, but 3"},
		{"a member is a link", tarOf(t, list(la), member{name: "a", Header: tar.Header{Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}}), "not a regular file"},
		{"a member is a device", tarOf(t, list(la), member{name: "a", Header: tar.Header{Typeflag: tar.TypeChar}}), "not a regular file"},
		{"a header with a wrong checksum", sparse.Bytes(), "offset 1536"},
		{"something behind the end mark", append(bytes.Clone(good), "more"...), "follows its end mark"},
		{"another tar behind it", append(bytes.Clone(good), good...), "follows its end mark"},
		{"zeros without end", append(bytes.Clone(good), make([]byte, 1<<20)...), "follows its end mark"},
	} {
		if err := refuses(t, tt.name, base(t), answers(tt.answer), ErrAnswer); err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v does not say %q", tt.name, err, tt.says)
		}
	}
	// Names are not paths here. Padding is what other programs write.
	for name, answer := range map[string][]byte{
		"good":   good,
		"padded": append(bytes.Clone(good), make([]byte, 10240)...),
		"odd":    tarOf(t, list(`{"name":"../../x","size":3,`+when+`},{"name":"/abs","size":2,`+when+`}`), member{name: "../../x", data: "aaa"}, member{name: "/abs", data: "bb"}),
		"zone":   tarOf(t, list(`{"name":"a","size":3,"lastModified":"2015-11-02T10:34:05.5+05:30"}`), a),
	} {
		path := base(t)
		if r, err := Take(t.Context(), path, answers(answer), Options{}); err != nil || r.Path != path+".1" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// listen serves connections with do until the test ends.
func listen(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go do(c)
		}
	}()
	return l.Addr().String()
}

// request reads one as a server does.
func request(c net.Conn) {
	b := make([]byte, 1)
	for b[0] != '\n' {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// TestServers goes over real connections: servers that are silent from some
// point on, that die, and that are cancelled.
func TestServers(t *testing.T) {
	later := monday.Add(2 * time.Hour)
	answer := layer(t, later, metaFile(later), shardFile(t, "db/rp/2", later))
	stop := make(chan bool)
	t.Cleanup(func() { close(stop) })
	const timeout = 50 * time.Millisecond
	path := base(t)
	for _, n := range []int{0, 700, len(answer) / 2, len(answer) - 1} {
		silent := listen(t, func(c net.Conn) {
			defer c.Close()
			request(c)
			_, _ = c.Write(answer[:n])
			<-stop
		})
		name := fmt.Sprintf("silent after %d bytes", n)
		// On a busy machine even to connect may take that long.
		var late net.Error
		if err := refuses(t, name, path, TCP{Addr: silent, Timeout: timeout}, nil); !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("%s: %v, want a timeout", name, err)
		}

		dead := listen(t, func(c net.Conn) {
			_, _ = c.Write(answer[:n])
			_ = c.(*net.TCPConn).SetLinger(0) // the request was not read either: a reset
			c.Close()
		})
		refuses(t, fmt.Sprintf("reset after %d bytes", n), path, TCP{Addr: dead}, nil)

		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n == 0 {
				<-stop
				return
			}
			_, _ = w.Write(answer[:n])
			_ = http.NewResponseController(w).Flush()
			<-stop
		}))
		t.Cleanup(web.CloseClientConnections)
		refuses(t, "HTTP: "+name, path, HTTP{URL: parse(t, web.URL), Timeout: timeout}, os.ErrDeadlineExceeded)

		died := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
			_, _ = w.Write(answer[:n])
		}))
		t.Cleanup(died.Close)
		refuses(t, fmt.Sprintf("HTTP: ends after %d bytes", n), path, HTTP{URL: parse(t, died.URL)}, ErrAnswer)
	}

	// The server goes on; the user does not.
	endless := listen(t, func(c net.Conn) {
		defer c.Close()
		request(c)
		_, _ = c.Write(answer[:700])
		<-stop
	})
	before := state(t, filepath.Dir(path))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Take(ctx, path, TCP{Addr: endless}, Options{Progress: func(Progress) { cancel() }})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrAnswer) {
		t.Errorf("cancelled: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := Take(ctx, path, answers(answer), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	if after := state(t, filepath.Dir(path)); after != before {
		t.Errorf("cancelled: %s, was %s", after, before)
	}

	// Nobody there.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	refuses(t, "nobody", path, TCP{Addr: l.Addr().String()}, syscall.ECONNREFUSED)
	refuses(t, "nobody", path, HTTP{URL: parse(t, "http://"+l.Addr().String())}, syscall.ECONNREFUSED)

	// Refusals.
	for code, says := range map[int]string{404: "404 Not Found: no \"snapshots\" here", 503: "503 Service Unavailable", 400: "400 Bad Request"} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `no "snapshots" here`, code) }))
		t.Cleanup(web.Close)
		if err := refuses(t, says, path, HTTP{URL: parse(t, web.URL)}, ErrAnswer); err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestRequests looks at the bytes that go over the wire.
func TestRequests(t *testing.T) {
	answer := layer(t, monday, metaFile(monday))
	sent := make(chan string, 1)
	addr := listen(t, func(c net.Conn) {
		defer c.Close()
		b := make([]byte, 1000)
		n, _ := c.Read(b) // a request is one packet
		sent <- string(b[:n])
		_, _ = c.Write(answer)
	})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		sent <- fmt.Sprintf("%s %s %q", r.Method, r.URL, b)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(web.Close)
	path := filepath.Join(t.TempDir(), "snap")
	manifest := fmt.Sprintf(`{"files":[{"name":"meta","size":%d,"lastModified":"2015-11-02T03:04:05Z"}]}`+"\n", len(metaFile(monday).Data))
	for _, tt := range []struct {
		src  Source
		want string
	}{
		{TCP{Addr: addr}, "\x03null\n"},
		{TCP{Addr: addr}, "\x03" + manifest},
		{HTTP{URL: parse(t, web.URL)}, fmt.Sprintf("GET /data/snapshot %q", manifest)},
		{HTTP{URL: parse(t, web.URL+"/db/snap")}, fmt.Sprintf("GET /db/snap %q", manifest)},
	} {
		take(t, path, tt.src, Options{})
		if got := <-sent; got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	take(t, filepath.Join(t.TempDir(), "snap"), HTTP{URL: parse(t, web.URL)}, Options{})
	if got := <-sent; got != `GET /data/snapshot ""` {
		t.Errorf("%q", got)
	}
}

// TestNoSpace runs into a file system that is full.
func TestNoSpace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "snap")
	take(t, path, answers(layer(t, monday, metaFile(monday), shardFile(t, "db/rp/1", monday))), Options{})
	later := monday.Add(time.Hour)
	large := layer(t, later, metaFile(later), sample.File{Name: "db/rp/2", Data: make([]byte, 1<<20), Modified: later})
	if err := refuses(t, "full", path, answers(large), syscall.ENOSPC); errors.Is(err, ErrAnswer) {
		t.Errorf("the answer is blamed: %v", err)
	}
	if r := take(t, path, answers(layer(t, later, metaFile(later))), Options{}); r.Path != path+".0" {
		t.Errorf("%+v", r)
	}
}

// TestPatience counts the silence of a server, not that of who reads.
func TestPatience(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") }))
	t.Cleanup(web.Close)
	r, err := HTTP{URL: parse(t, web.URL)}.Fetch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	timer := r.(*response).timer
	if timer.Stop() {
		t.Error("the time runs before the first read")
	}
	if b, err := io.ReadAll(io.LimitReader(r, 3)); err != nil || string(b) != "ans" {
		t.Errorf("%q, %v", b, err)
	}
	if timer.Stop() {
		t.Error("the time runs between two reads")
	}
}
