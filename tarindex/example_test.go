package tarindex_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"

	"github.com/snapfs/snapfs/tarindex"
)

func Example() {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range []string{"manifest", "telemetry/default/1", "../default/2"} {
		_ = w.WriteHeader(&tar.Header{Name: name, Size: 5, Mode: 0o666})
		_, _ = w.Write([]byte("hello"))
	}
	_ = w.Close()

	ix, err := tarindex.Build(bytes.NewReader(archive.Bytes()), int64(archive.Len()), tarindex.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, e := range ix.All() {
		fmt.Println(i, e.Name, "at", e.DataOffset)
	}
	data, err := fs.ReadFile(ix, "telemetry/default/1")
	fmt.Printf("%s %v\n", data, err)
	for w := range ix.Warnings() {
		fmt.Println(w.Text)
	}
	// Output:
	// 0 manifest at 512
	// 1 telemetry/default/1 at 1536
	// 2 ../default/2 at 2560
	// hello <nil>
	// member "../default/2" appears as %2E%2E/default/2
}
