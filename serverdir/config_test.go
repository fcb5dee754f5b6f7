package serverdir_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/serverdir"
)

func writeConfig(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "influxdb.conf")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConfig(t *testing.T) {
	t.Setenv("HOME", "/home/somebody")
	for _, tt := range []struct {
		name, text string
		want       serverdir.Config
		wantErr    string
	}{
		{"final", "reporting-disabled = true\n[meta]\n dir = \"/m\"\n hostname = \"db1\"\n bind-address = \"10.0.0.1:9088\"\n retention-autocreate = true\n election-timeout = \"1s\"\n[data]\n dir = \"/d\"\n max-wal-size = 104857600\n wal-dir = \"/w\"\n[hinted-handoff]\n dir = \"/hh\"\n[http]\n enabled = true\n bind-address = \":9086\"\n[[graphite]]\n enabled = false\n",
			serverdir.Config{DataDir: "/d", MetaDir: "/m", Others: []string{"/w", "/hh"}, Host: "db1", Port: "9088", Listen: []string{"10.0.0.1:9088", ":9086"}}, ""},
		{"final, defaults", "[meta]\npeers = [\"a:1\"]\n[http]\nenabled = false\n",
			serverdir.Config{Host: "localhost", Port: "8088", Listen: []string{":8088"}, Peers: []string{"a:1"}}, ""},
		{"final, empty host name", "[meta]\nhostname = \"\"\ndir = \"m\"\n[data]\ndir = \"d\"\n",
			serverdir.Config{DataDir: "d", MetaDir: "m", Host: "localhost", Port: "8088", Listen: []string{":8088", ":8086"}}, ""},
		{"candidate", "hostname = \"rc1\"\nbind-address = \"0.0.0.0\"\nport = 9086\n[broker]\ndir = \"/b\"\n[data]\ndir = \"/d\"\n[api]\nport = 9087\n[snapshot]\nenabled = true\n",
			serverdir.Config{Candidate: true, DataDir: "/d", MetaDir: "/b", Host: "rc1", Port: "9086", Listen: []string{"0.0.0.0:9086", "0.0.0.0:9087"}}, ""},
		{"no snapshots", "[broker]\ndir = \"b\"\n[data]\ndir = \"d\"\n[snapshot]\nenabled = false\n",
			serverdir.Config{Candidate: true, DataDir: "d", MetaDir: "b", Host: "localhost", Port: "8086", Listen: []string{":8086"}, NoSnapshots: true}, ""},
		{"no snapshots of a final release", "[meta]\npeers = [\"a:1\"]\n[http]\nenabled = false\n[snapshot]\nenabled = false\n",
			serverdir.Config{Host: "localhost", Port: "8088", Listen: []string{":8088"}, Peers: []string{"a:1"}, NoSnapshots: true}, ""},
		{"candidate, defaults", "[broker]\n",
			serverdir.Config{Candidate: true, DataDir: "/home/somebody/.influxdb/data", MetaDir: "/home/somebody/.influxdb/broker", Host: "localhost", Port: "8086", Listen: []string{":8086"}}, ""},
		{"both", "[meta]\n[broker]\n", serverdir.Config{}, "[meta] and [broker]"},
		{"later", "bind-address = \"127.0.0.1:8088\"\n[meta]\ndir = \"/m\"\n[data]\ndir = \"/d\"\n", serverdir.Config{}, "0.10 or later"},
		{"much later", "[meta]\ndir = \"/m\"\n[coordinator]\n", serverdir.Config{}, "0.10 or later"},
		{"neither", "[data]\ndir = \"/d\"\n", serverdir.Config{}, "neither a section [meta] nor [broker]"},
		{"no TOML", "[meta\n", serverdir.Config{}, "line 2"},
		{"wrong type", "[meta]\ndir = 7\n", serverdir.Config{}, "line 2"},
		{"bad address", "[meta]\nbind-address = \"8088\"\n", serverdir.Config{}, "[meta] bind-address"},
		{"long", strings.Repeat("# comment\n", 200_000), serverdir.Config{}, "more than 1048576 bytes"},
	} {
		got, err := serverdir.ReadConfig(writeConfig(t, tt.text))
		switch {
		case tt.wantErr == "" && (err != nil || !reflect.DeepEqual(got, tt.want)):
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		case tt.wantErr != "" && (!errors.Is(err, serverdir.ErrConfig) || !strings.Contains(err.Error(), tt.wantErr)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.wantErr)
		}
	}
	if _, err := serverdir.ReadConfig("/does/not/exist"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("[meta]\ndir = \"/m\"\n[data]\ndir = \"/d\"\n")
	f.Add("port = 1\n[broker]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := serverdir.ReadConfig(writeConfig(t, text))
		if err != nil {
			if !errors.Is(err, serverdir.ErrConfig) {
				t.Error(err)
			}
			return
		}
		if err := c.Check(); err != nil && !errors.Is(err, serverdir.ErrConfig) {
			t.Error(err)
		}
	})
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		c    serverdir.Config
		want string
	}{
		{serverdir.Config{MetaDir: "/a/m", DataDir: "/a/d"}, ""},
		{serverdir.Config{MetaDir: "/a/data.d", DataDir: "/a/data"}, ""},
		{serverdir.Config{DataDir: "/a/d"}, "[meta] dir is not set"},
		{serverdir.Config{DataDir: "/a/d", Candidate: true}, "[broker] dir is not set"},
		{serverdir.Config{MetaDir: "/a/d"}, "[data] dir is not set"},
		{serverdir.Config{MetaDir: "/a", DataDir: "/a/"}, "lies in the other"},
		{serverdir.Config{MetaDir: "/a/b", DataDir: "/a"}, "lies in the other"},
		{serverdir.Config{MetaDir: "x", DataDir: "x/y/.."}, "lies in the other"},
	} {
		err := tt.c.Check()
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, serverdir.ErrConfig) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.c, err, tt.want)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, tt := range []struct {
		c      serverdir.Config
		naming serverdir.Naming
		want   string
	}{
		{serverdir.Config{Host: "localhost", Port: "8088"}, serverdir.Name, "localhost:8088"},
		{serverdir.Config{Host: "localhost", Port: "8088"}, serverdir.IP, "127.0.0.1:8088"},
		{serverdir.Config{Host: "10.1.2.3", Port: "8088"}, serverdir.IP, "10.1.2.3:8088"},
		{serverdir.Config{Host: "::1", Port: "8088"}, serverdir.IP, "[::1]:8088"},
		{serverdir.Config{Host: "rc", Port: "8086", Candidate: true}, serverdir.IP, "http://rc:8086"},
	} {
		if got, err := tt.c.Address(tt.naming); err != nil || got != tt.want {
			t.Errorf("%+v by %d: %s, %v, want %s", tt.c, tt.naming, got, err, tt.want)
		}
	}
	if _, err := (serverdir.Config{Host: "no such host", Port: "1"}).Address(serverdir.IP); !errors.Is(err, serverdir.ErrConfig) {
		t.Error(err)
	}
}

func TestNamingOf(t *testing.T) {
	msg := func(parts ...any) (b []byte) { // pairs of a number and bytes
		for i := 0; i < len(parts); i += 2 {
			b = protowire.AppendTag(b, protowire.Number(parts[i].(int)), protowire.BytesType)
			switch v := parts[i+1].(type) {
			case string:
				b = protowire.AppendString(b, v)
			case []byte:
				b = protowire.AppendBytes(b, v)
			}
		}
		return b
	}
	owners := msg(5, msg(3, msg(5, msg(5, msg(3, "")))))
	for name, tt := range map[string]struct {
		meta []byte
		want serverdir.Naming
	}{
		"numbers of owners": {sample.Meta{Databases: []sample.Database{{Name: "d", Policies: []sample.Policy{{Name: "p", Groups: []sample.Group{{ID: 1}}}}}}}.Bytes(), serverdir.IP},
		"owners":            {append(msg(4, msg(2, "10.0.0.1:8088")), owners...), serverdir.Name},
		"name":              {msg(4, msg(2, "db:8088")), serverdir.Name},
		"address of IPv6":   {msg(4, msg(2, "[::1]:8088")), serverdir.IP},
		"broken":            {owners[:len(owners)-1], serverdir.IP},
		"empty":             {nil, serverdir.IP},
	} {
		if got := serverdir.NamingOf(tt.meta); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// TestRealNaming: what the servers did can be told of each real snapshot.
func TestRealNaming(t *testing.T) {
	for _, snap := range realchains.All(t) {
		want := serverdir.Name
		switch dir := filepath.Base(filepath.Dir(snap)); {
		case strings.HasPrefix(dir, "v0.9.0-rc"):
			continue
		case strings.HasPrefix(dir, "v0.9.2"):
			want = serverdir.IP
		}
		if got := serverdir.NamingOf(readFile(t, openTree(t, snap, "full"), "meta")); got != want {
			t.Errorf("%s: %d, want %d", snap, got, want)
		}
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	if err := serverdir.Locked(t.Context(), dir, filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
	name := filepath.Join(dir, "db", "rp", "1")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(name, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := serverdir.Locked(t.Context(), "", dir); !errors.Is(err, serverdir.ErrRunning) || !strings.Contains(err.Error(), name) {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := serverdir.Locked(t.Context(), link); !errors.Is(err, serverdir.ErrRunning) {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := serverdir.Locked(t.Context(), dir); err != nil {
		t.Error(err)
	}
	// Whoever only reads is no server.
	db, err = bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := serverdir.Locked(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

func TestAnswering(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	busy := []string{"127.0.0.1:" + port, "localhost:" + port, ":" + port, "0.0.0.0:" + port, "[::]:" + port}
	for _, addr := range busy {
		if err := (serverdir.Config{Listen: []string{"not an address", addr}}).Answering(t.Context()); !errors.Is(err, serverdir.ErrRunning) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	// An address of this machine that nobody listens on.
	if err := (serverdir.Config{Listen: []string{"127.98.76.54:" + port, ""}}).Answering(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
