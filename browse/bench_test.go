package browse

import (
	"testing"

	"github.com/snapfs/snapfs/space"
)

// BenchmarkEnd goes to the end of 100,000 keys, beside listing them by itself.
func BenchmarkEnd(b *testing.B) {
	path := many(b, 100_000)
	b.Run("browse", func(b *testing.B) {
		for b.Loop() {
			u := newUser(b, path, Options{})
			u.press("end enter right end")
			_ = u.m.screen()
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			tree, err := space.Open(path, space.Options{})
			if err != nil {
				b.Fatal(err)
			}
			if list, err := tree.ReadDir("keys"); err != nil || len(list) != 100_000 {
				b.Fatal(len(list), err)
			}
			tree.Close()
		}
	})
}

// BenchmarkKey presses a key in the midst of 100,000 rows, and draws the screen.
func BenchmarkKey(b *testing.B) {
	u := newUser(b, many(b, 100_000), Options{})
	u.press("end enter right end pgup pgup")
	for b.Loop() {
		u.press("up down")
		_ = u.m.screen()
	}
}
