package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/sample"
)

// TestRestoreStaleMeta: a backup right after the start of a server has metadata
// that know nothing. A server made of it gets those that came before.
func TestRestoreStaleMeta(t *testing.T) {
	second := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 2)
	second = protowire.AppendString(protowire.AppendTag(second, 2, protowire.BytesType), "10.0.0.2:8088")
	meta := sample.Meta{Databases: []sample.Database{{Name: "db", Policies: []sample.Policy{{Name: "rp", Groups: []sample.Group{{ID: 1}}}}}}}.Bytes()
	meta = protowire.AppendBytes(protowire.AppendTag(meta, 4, protowire.BytesType), second)
	empty := []byte{0x08, 0, 0x10, 0, 0x18, 0, 0x38, 0, 0x40, 0, 0x48, 0}

	dir := t.TempDir()
	snap := filepath.Join(dir, "snap")
	later := sample.Start.Add(time.Hour)
	err := sample.Write(snap,
		sample.Layer{Time: sample.Start, Files: []sample.File{
			{Name: "meta", Data: meta, Modified: sample.Start}, {Name: "db/rp/1", Data: []byte("one"), Modified: sample.Start}}},
		sample.Layer{Time: later, Files: []sample.File{
			{Name: "meta", Data: empty, Modified: later}, {Name: "db/rp/1", Data: []byte("two"), Modified: later}}})
	if err != nil {
		t.Fatal(err)
	}
	data, store := filepath.Join(dir, "data"), filepath.Join(dir, "meta")
	out, errs, code := runApp(t, "restore", "--ignore-ports", "--data-dir", data, "--meta-dir", store, snap)
	if code != 0 || out != "" {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{"those of layer full are taken", "a cluster of 2 servers"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not in:\n%s", want, errs)
		}
	}
	if b, err := os.ReadFile(filepath.Join(data, "db", "rp", "1")); err != nil || string(b) != "two" {
		t.Errorf("shard: %q, %v", b, err)
	}
	if !bytes.Contains(setMeta(t, store), meta) {
		t.Error("the store does not hold the metadata that know something")
	}

	// At the point before, nothing is odd but for the cluster.
	_, errs, code = runApp(t, "restore", "--ignore-ports", "--data-dir", data, "--meta-dir", store, "--at", "full", "--replace", "--discard-old", "-q", snap)
	if code != 0 || strings.Contains(errs, "are taken") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}

// setMeta returns the entry of a raft log that sets the metadata.
func setMeta(t *testing.T, store string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(store, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := boltview.Open(bytes.NewReader(b), int64(len(b)), boltview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	logs, err := db.Root().Bucket([]byte("logs"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := logs.Get([]byte("\x00\x00\x00\x00\x00\x00\x00\x03"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestMayGive: whoever may not give files away is told before anything is read.
func TestMayGive(t *testing.T) {
	_, errs, code := runApp(t, "restore", "--owner", "12345:54321", "-t", filepath.Join(t.TempDir(), "x"), "/does/not/exist")
	want, text := exitUsage, "you may not give files"
	if os.Geteuid() == 0 {
		want, text = exitOpen, "does not exist"
	}
	if code != want || !strings.Contains(errs, text) {
		t.Errorf("exit code %d, want %d\n%s", code, want, errs)
	}
}
