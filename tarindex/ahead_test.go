package tarindex

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
)

// distant is an archive that a read costs a round trip of, unless what it wants
// was asked for before. All that was asked for arrives with the next trip.
type distant struct {
	*bytes.Reader
	trips int
	asked [][2]int64 // runs of bytes that are on their way or there
	calls int
}

func (d *distant) ReadAt(p []byte, off int64) (int, error) {
	there := slices.ContainsFunc(d.asked, func(run [2]int64) bool {
		return run[0] <= off && off+int64(len(p)) <= run[1]
	})
	if !there {
		d.trips++
	}
	return d.Reader.ReadAt(p, off)
}

func (d *distant) Prefetch(offsets []int64, n int) {
	d.calls++
	d.trips++
	for i, off := range offsets {
		if i > 0 && off <= offsets[i-1] || off < 0 || off >= d.Size() {
			panic(fmt.Sprint("prefetch at ", off, " after ", offsets[:i]))
		}
		d.asked = append(d.asked, [2]int64{off, off + int64(n)})
	}
}

// listed is an archive whose first member predicts the others.
func listed(t testing.TB, sizes []int64) []byte {
	t.Helper()
	members := []memb{{name: "manifest", data: "{}"}}
	for i, size := range sizes {
		members = append(members, memb{name: fmt.Sprintf("db/rp/%d", i), data: string(make([]byte, size))})
	}
	return write(t, members...)
}

func predict(sizes []int64) Options {
	return Options{Predict: func(Entry, io.ReaderAt) []int64 { return sizes }}
}

func TestPredictTrips(t *testing.T) {
	big := slices.Repeat([]int64{20_000}, 1000)
	data := listed(t, big)
	build := func(opts Options) (*Index, *distant) {
		d := &distant{Reader: bytes.NewReader(data)}
		ix, err := Build(d, int64(len(data)), opts)
		if err != nil || ix.Len() != 1001 {
			t.Fatalf("%v, %v", ix, err)
		}
		return ix, d
	}
	_, plain := build(Options{})
	ix, ahead := build(predict(big))
	if plain.trips < 1000 || ahead.trips > 3 || ahead.calls == 0 {
		t.Errorf("%d round trips with a prediction, %d without", ahead.trips, plain.trips)
	}
	compareIndexes(t, ix, data)

	// What is off by a little is found again; what is all wrong is not followed
	// for long.
	off := slices.Clone(big)
	off[500] += 512
	if ix, d := build(predict(off)); d.trips > 100 {
		t.Errorf("one wrong size of 1,000: %d round trips", d.trips)
	} else {
		compareIndexes(t, ix, data)
	}
	ix, d := build(predict(slices.Repeat([]int64{30_000}, 1000)))
	if d.calls > 5 || d.trips > plain.trips+d.calls {
		t.Errorf("all sizes wrong: %d round trips, %d times asked ahead", d.trips, d.calls)
	}
	compareIndexes(t, ix, data)
}

// TestPredictSmall asks for nothing where headers are close to each other.
func TestPredictSmall(t *testing.T) {
	small := slices.Repeat([]int64{600}, 500)
	data := listed(t, small)
	d := &distant{Reader: bytes.NewReader(data)}
	ix, err := Build(d, int64(len(data)), predict(small))
	if err != nil || d.calls > 0 {
		t.Fatalf("asked ahead %d times; %v", d.calls, err)
	}
	compareIndexes(t, ix, data)
}

// TestPredictFirst looks at what Predict is told, and when it is not called.
func TestPredictFirst(t *testing.T) {
	called := 0
	opts := Options{Predict: func(e Entry, content io.ReaderAt) []int64 {
		called++
		got := make([]byte, e.Size)
		if _, err := content.ReadAt(got, 0); err != nil || e.Name != "manifest" || string(got) != "list" {
			t.Errorf("first member %q: %q, %v", e.Name, got, err)
		}
		return nil
	}}
	first := memb{name: "manifest", data: "list"}
	for _, tt := range []struct {
		name    string
		members []memb
		want    int
	}{
		{"a list", []memb{first, {name: "a", data: "a"}}, 1},
		{"nothing but a list", []memb{first}, 1},
		{"a directory", []memb{{name: "d/", typ: tar.TypeDir}, first}, 0},
		{"a link", []memb{{name: "l", typ: tar.TypeLink, data: "manifest"}, first}, 0},
		{"no member", nil, 0},
	} {
		called = 0
		data := write(t, tt.members...)
		if _, err := Build(bytes.NewReader(data), int64(len(data)), opts); err != nil || called != tt.want {
			t.Errorf("%s: called %d times, want %d; %v", tt.name, called, tt.want, err)
		}
	}
}

// compareIndexes holds an index that was made with a prediction against one of
// the same archive without.
func compareIndexes(t *testing.T, got *Index, data []byte) {
	t.Helper()
	want, err := Build(bytes.NewReader(data), int64(len(data)), Options{})
	if want == nil || got == nil {
		if want != got {
			t.Fatalf("with a prediction %v, without %v, %v", got, want, err)
		}
		return
	}
	next, stop := iter.Pull2(got.All())
	defer stop()
	for i, w := range want.All() {
		if _, g, ok := next(); !ok || g != w {
			t.Fatalf("member %d: %+v with a prediction, %+v without", i, g, w)
		}
	}
	if got.Len() != want.Len() || got.end != want.end || got.cut != want.cut || got.missing != want.missing || !slices.Equal(got.links, want.links) {
		t.Fatalf("with a prediction %d members, %+v, without %d, %+v", got.Len(), got.end, want.Len(), want.end)
	}
}

// FuzzPredict predicts anything of any archive, and wants the index that there
// is without.
func FuzzPredict(f *testing.F) {
	f.Add(listed(f, []int64{9000, 10_000, 0, 20_000}), []byte{0x23, 0x27, 0, 0x4e}, uint64(1))
	f.Add(blocks(pax("path", "é"), header("", 0, 3, nil), "abc", header("x", '0', 8200, nil), string(make([]byte, 8200)), endBlocks), []byte{0xff, 1}, uint64(2))
	f.Fuzz(func(t *testing.T, data, guess []byte, seed uint64) {
		if len(data) > 64<<10 || len(guess) > 1000 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		var sizes []int64
		honest, _ := Build(bytes.NewReader(data), int64(len(data)), Options{})
		for i, b := range guess {
			switch {
			case b%3 == 0 && honest != nil && i+1 < honest.Len():
				sizes = append(sizes, honest.Entry(i+1).Size)
			case b%3 == 1:
				sizes = append(sizes, int64(rng.Uint64()))
			default:
				sizes = append(sizes, int64(b)<<rng.IntN(20))
			}
		}
		d := &distant{Reader: bytes.NewReader(data)}
		ix, err := Build(d, int64(len(data)), predict(sizes))
		_, wantErr := Build(bytes.NewReader(data), int64(len(data)), Options{})
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("with a prediction %v, without %v", err, wantErr)
		}
		compareIndexes(t, ix, data)
	})
}
