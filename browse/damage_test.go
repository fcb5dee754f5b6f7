package browse

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestHostile shows names and values that would move the cursor, change
// colours, or stand in two cells or none.
func TestHostile(t *testing.T) {
	keys := []string{
		"\x1b[2J\x1b[31mred", "bell\a", "new\nline", "c1\u009b2J", "日本語の鍵", "e\u0301 combining", "\u0301starts", "a" + strings.Repeat("\u0301", 50),
		"rtl\u202eabc", "zero\u200bwidth", "\xff\xfe", "👩‍👩‍👧 family", "❤\ufe0f", "한국어", strings.Repeat("長", 200), "tab\there", "%41",
	}
	path := boltOf(t, "b\x1b[1mucket", func(b *bolt.Bucket) error {
		for _, k := range keys {
			if err := b.Put([]byte(k), []byte(strings.Repeat(k+"\n", 3))); err != nil {
				return err
			}
		}
		return nil
	})
	for _, width := range []int{40, 41, 79, 80, 81, 200} {
		u := newUser(t, path, Options{Title: "title\x1b]0;x\a"}).size(width, 24)
		u.press("end enter")
		for range keys {
			u.press("down")
			u.screen()
			for range 3 {
				u.press("v")
				u.screen()
			}
			u.press("tab right right right")
			u.screen()
			u.press("tab")
		}
		u.press("/ \x1b[2J\u202e日本 enter")
		u.screen()
		u.send(tea.PasteMsg{Content: "nobody asked"})
		u.press("/")
		u.send(tea.PasteMsg{Content: "two\nlines\x1b[2J" + strings.Repeat("語", 100)})
		u.screen()
	}
}

// TestDamage: what cannot be read is told, and the rest goes on.
func TestDamage(t *testing.T) {
	path := chainOf(t)
	if err := os.Truncate(path, 60000); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := os.Remove(fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
	}
	u := newUser(t, path, Options{Plain: true})
	u.press(":telemetry/default/1 enter")
	u.sees("error    read telemetry/default/1: ", "cut", "[hex] ! ")
	u.press(":telemetry/week/2 enter").sees("damage   not in the archive")
	if l := u.line(); !strings.Contains(l, "2                       ! ") {
		t.Errorf("%q", l)
	}
	u.press(":no/such/path enter").sees("not there: no")
}

// TestTorn: a torn shard has its mark once it was looked at, and can be opened.
func TestTorn(t *testing.T) {
	data, _, err := sample.Torn(t.TempDir(), 4)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(path, sample.Layer{Time: sample.Start, Files: []sample.File{{Name: "db/rp/1", Data: data, Modified: sample.Start}}}); err != nil {
		t.Fatal(err)
	}
	u := newUser(t, path, Options{})
	u.press(":db/rp/1 enter").sees("bolt     torn, class ")
	if l := u.line(); !strings.Contains(l, "▸ 1") || !strings.Contains(l, "! ") {
		t.Errorf("%q", l)
	}
	u.press("right").sees("fields", "cpu,host=0")
}

// TestRandom presses keys as a monkey would, at all sizes.
func TestRandom(t *testing.T) {
	path := chainOf(t)
	keys := []string{"up", "down", "down", "down", "left", "right", "right", "enter", "tab", "pgup", "pgdown", "home", "end", "v", "[", "]", "n", "N", "?", "esc", "/ a enter", "/ cpu enter", ": .snapfs/bolt enter", "g", "G"}
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		u := newUser(t, path, Options{Plain: rnd.IntN(2) == 0, ASCII: rnd.IntN(2) == 0})
		var pressed []string
		for range 120 {
			if rnd.IntN(10) == 0 {
				u.size(1+rnd.IntN(150), 1+rnd.IntN(50))
			}
			k := keys[rnd.IntN(len(keys))]
			pressed = append(pressed, k)
			u.press(k)
			u.screen()
			if u.m.loading != nil || u.m.job != nil {
				t.Errorf("something is still being read")
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d: %q", seed, pressed)
		}
	}
}
