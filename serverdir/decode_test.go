package serverdir_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/influx"
)

// buckets returns all top-level buckets of a Bolt file, as bucket/key → value.
func buckets(t *testing.T, data []byte) map[string]string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bolt")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]string{}
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("check: %v", err)
		}
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				out[fmt.Sprintf("%s/%s", name, k)] = string(v)
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// logEntry is an entry of a raft log.
type logEntry struct {
	Data              string
	Index, Term, Type uint64
}

// msgpack reads the MessagePack of 2013, as far as raft logs have it.
type msgpack struct {
	t *testing.T
	b string
}

func (m *msgpack) take(n int) string {
	m.t.Helper()
	if n > len(m.b) {
		m.t.Fatalf("MessagePack ends after %d bytes of %d", len(m.b), n)
	}
	s := m.b[:n]
	m.b = m.b[n:]
	return s
}

func (m *msgpack) raw() string {
	m.t.Helper()
	switch c := m.take(1)[0]; {
	case c&0xe0 == 0xa0:
		return m.take(int(c & 0x1f))
	case c == 0xda:
		return m.take(int(binary.BigEndian.Uint16([]byte(m.take(2)))))
	case c == 0xdb:
		return m.take(int(binary.BigEndian.Uint32([]byte(m.take(4)))))
	default:
		m.t.Fatalf("byte %#x begins no raw bytes", c)
		return ""
	}
}

func (m *msgpack) number() uint64 {
	m.t.Helper()
	c := m.take(1)[0]
	if c > 0x7f {
		m.t.Fatalf("byte %#x is no small number", c)
	}
	return uint64(c)
}

// decodeEntry reads an entry, whose keys must come in the order of their names.
func decodeEntry(t *testing.T, b string) (e logEntry) {
	t.Helper()
	m := &msgpack{t, b}
	if c := m.take(1)[0]; c != 0x84 {
		t.Fatalf("byte %#x begins no map of 4", c)
	}
	for _, want := range []string{"Data", "Index", "Term", "Type"} {
		if key := m.raw(); key != want {
			t.Fatalf("key %q, want %q", key, want)
		}
		switch want {
		case "Data":
			e.Data = m.raw()
		case "Index":
			e.Index = m.number()
		case "Term":
			e.Term = m.number()
		case "Type":
			e.Type = m.number()
		}
	}
	if m.b != "" {
		t.Fatalf("%d bytes after the entry", len(m.b))
	}
	return e
}

// peers reads a list of texts.
func peers(t *testing.T, b string) (list []string) {
	t.Helper()
	m := &msgpack{t, b}
	c := m.take(1)[0]
	if c&0xf0 != 0x90 {
		t.Fatalf("byte %#x begins no array", c)
	}
	for range c & 0x0f {
		list = append(list, m.raw())
	}
	return list
}

// decodeCommand returns the type of a command and the fields of its extension,
// numbers as decimals.
func decodeCommand(t *testing.T, b string) (kind uint64, args map[protowire.Number]string) {
	t.Helper()
	args = map[protowire.Number]string{}
	for num, v := range message(t, b) {
		if num == 1 {
			fmt.Sscan(v, &kind)
		}
	}
	for num, v := range message(t, b) {
		switch num {
		case 1:
		case protowire.Number(100 + kind):
			args = message(t, v)
		default:
			t.Fatalf("command %d has field %d", kind, num)
		}
	}
	return kind, args
}

// message returns the fields of a message, none of which may be there twice.
func message(t *testing.T, b string) map[protowire.Number]string {
	t.Helper()
	out := map[protowire.Number]string{}
	for msg := []byte(b); len(msg) > 0; {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		msg = msg[n:]
		if _, ok := out[num]; ok {
			t.Fatalf("field %d twice", num)
		}
		switch typ {
		case protowire.VarintType:
			v, k := protowire.ConsumeVarint(msg)
			n, out[num] = k, fmt.Sprint(v)
		case protowire.BytesType:
			v, k := protowire.ConsumeBytes(msg)
			n, out[num] = k, string(v)
		default:
			t.Fatalf("field %d has type %d", num, typ)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		msg = msg[n:]
	}
	return out
}

// raft is what a file raft.db holds.
type raft struct {
	Conf    map[string]string
	Logs    int
	Entries []logEntry // without their data
	Peers   []string   // by the first entry
	Host    string     // of the node that the second makes
	Random  string     // in there
	Meta    string     // set by the third, as JSON
	Hashes  []string   // of users in there
	Data    string     // the same metadata, encoded
}

func decodeRaft(t *testing.T, data []byte) (r raft) {
	t.Helper()
	all := buckets(t, data)
	r.Conf = map[string]string{}
	for key, v := range all {
		if name, ok := strings.CutPrefix(key, "conf/"); ok {
			r.Conf[name] = v
		} else if strings.HasPrefix(key, "logs/") {
			r.Logs++
		} else {
			t.Errorf("key %q", key)
		}
	}
	for i := range uint64(3) {
		e := decodeEntry(t, all["logs/"+string(binary.BigEndian.AppendUint64(nil, i+1))])
		content := e.Data
		e.Data = ""
		r.Entries = append(r.Entries, e)
		if i == 0 {
			r.Peers = peers(t, content)
			continue
		}
		kind, args := decodeCommand(t, content)
		switch {
		case i == 1 && kind == 1:
			r.Host, r.Random = args[1], args[2]
		case i == 2 && kind == 17:
			r.Data = args[1]
			r.Meta, r.Hashes = describe(t, r.Data)
		default:
			t.Errorf("entry %d is command %d", i+1, kind)
		}
	}
	return r
}

// describe decodes metadata. Privileges come in no order.
func describe(t *testing.T, data string) (text string, hashes []string) {
	t.Helper()
	m, err := influx.OpenMeta(strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range m.Users {
		hashes = append(hashes, u.Hash.Reveal())
	}
	return string(b), hashes
}

func readFile(t *testing.T, fsys fs.FS, name string) []byte {
	t.Helper()
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// files returns the size and content of all regular files.
func files(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out[p] = string(readFile(t, fsys, p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
