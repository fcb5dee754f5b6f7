package browse

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/internal/sample"
	"github.com/snapfs/snapfs/space"
)

var update = flag.Bool("update", false, "write the screens that the tests compare with")

// user is somebody who presses keys and looks at the screen. What the model
// wants to be read is read at once.
type user struct {
	t testing.TB
	m *Model
}

func newUser(t testing.TB, path string, o Options) *user {
	t.Helper()
	tree, err := space.Open(path, space.Options{ShowControl: true})
	if err != nil {
		t.Fatal(err)
	}
	m := New(t.Context(), tree, o)
	t.Cleanup(func() {
		m.Close()
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	u := &user{t, m}
	u.do(m.Init())
	return u
}

// do runs a command, and those that follow.
func (u *user) do(cmd tea.Cmd) {
	for todo := []tea.Cmd{cmd}; len(todo) > 0; todo = todo[1:] {
		if todo[0] == nil {
			continue
		}
		msg := todo[0]()
		if v := reflect.ValueOf(msg); v.Kind() == reflect.Slice && v.Type().Elem() == reflect.TypeFor[tea.Cmd]() {
			for i := range v.Len() {
				todo = append(todo, v.Index(i).Interface().(tea.Cmd))
			}
			continue
		}
		_, next := u.m.Update(msg)
		todo = append(todo, next)
	}
}

func (u *user) send(msg tea.Msg) {
	_, cmd := u.m.Update(msg)
	if k, ok := msg.(tea.KeyPressMsg); ok && (k.String() == "q" || k.String() == "ctrl+c") && u.m.prompt == nil {
		return // a batch with the command that ends the program
	}
	u.do(cmd)
}

var specialKeys = map[string]rune{
	"up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight, "enter": tea.KeyEnter, "esc": tea.KeyEscape,
	"tab": tea.KeyTab, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd, "backspace": tea.KeyBackspace,
}

// press presses keys, given as words; what is no key is typed.
func (u *user) press(keys string) *user {
	u.t.Helper()
	for word := range strings.FieldsSeq(keys) {
		if code, ok := specialKeys[word]; ok {
			u.send(tea.KeyPressMsg{Code: code})
			continue
		}
		for _, r := range word {
			u.send(tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
	return u
}

func (u *user) size(width, height int) *user {
	u.send(tea.WindowSizeMsg{Width: width, Height: height})
	return u
}

// screen returns what is seen, and makes sure that it fits.
func (u *user) screen() string {
	u.t.Helper()
	raw := u.m.View().Content
	text := ansi.Strip(raw)
	lines := strings.Split(text, "\n")
	if len(lines) != u.m.height && u.m.height >= minHeight && u.m.width >= minWidth {
		u.t.Errorf("%d lines on a screen of %d", len(lines), u.m.height)
	}
	for i, l := range lines {
		if w := ansi.StringWidth(l); w != u.m.width {
			u.t.Errorf("line %d has %d cells of %d: %q", i+1, w, u.m.width, l)
		}
	}
	for _, r := range text {
		if u.m.opts.ASCII && r > '~' {
			u.t.Errorf("%q is no ASCII", r)
		}
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			u.t.Errorf("%q goes to the terminal", r)
		}
	}
	return text
}

// line returns the line of the screen with the selected row.
func (u *user) line() string {
	for l := range strings.SplitSeq(u.screen(), "\n") {
		if strings.HasPrefix(l, ">") || strings.HasPrefix(l, "-") {
			return l
		}
	}
	u.t.Error("no row is selected")
	return ""
}

func (u *user) sees(want ...string) {
	u.t.Helper()
	s := u.screen()
	for _, w := range want {
		if !strings.Contains(s, w) {
			u.t.Errorf("%q is not on the screen:\n%s", w, s)
		}
	}
}

// golden compares the screen with a file.
func (u *user) golden(file string) {
	u.t.Helper()
	var b strings.Builder
	for l := range strings.SplitSeq(u.screen(), "\n") {
		b.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
			u.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		u.t.Fatal(err)
	}
	if b.String() != string(want) {
		u.t.Errorf("%s: the screen is\n%s\nwant\n%s", file, b.String(), want)
	}
}

// chainOf writes the sample chain.
func chainOf(t testing.TB) string {
	t.Helper()
	path, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// boltOf writes a Bolt file with one bucket.
func boltOf(t testing.TB, bucket string, fill func(b *bolt.Bucket) error) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.db")
	db, err := bolt.Open(name, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucket))
		if err != nil {
			return err
		}
		b.FillPercent = 0.9
		return fill(b)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}
