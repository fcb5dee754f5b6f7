package browse

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/internal/realchains"
	"github.com/snapfs/snapfs/space"
)

// TestScreens compares whole screens of the sample chain.
func TestScreens(t *testing.T) {
	screens, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	// A path that is the same each time, as it is on the screen.
	t.Chdir(filepath.Dir(chainOf(t)))
	for _, tt := range []struct {
		name, keys    string
		width, height int
		opts          Options
	}{
		{name: "root"},
		{name: "help", keys: "?"},
		{name: "shard", keys: "end enter down enter down enter"},
		{name: "chart", keys: ":.snapfs/influx/telemetry/default/cpu/cpu,host=alpha.lp enter"},
		{name: "chart-field", keys: ":.snapfs/influx/telemetry/default/cpu/cpu,host=alpha.lp enter ]"},
		{name: "lines", keys: ":.snapfs/influx/events/default/deploy/deploy,app=web.lp enter"},
		{name: "decoded", keys: ":telemetry/default/1/cpu,host=alpha enter right down down"},
		{name: "hex", keys: ":telemetry/default/1 enter tab pgdown pgdown"},
		{name: "json", keys: ":.snapfs/meta.json enter tab pgdown"},
		{name: "ghost", keys: ":telemetry/week/2 enter"},
		{name: "search", keys: "/ beta enter"},
		{name: "prompt", keys: "e backspace /tmp/ äöü"},
		{name: "wide", keys: ":.snapfs/influx/telemetry/default/cpu/cpu,host=alpha.lp enter", width: 132, height: 40},
		{name: "small", keys: ":telemetry/default/1 enter", width: 44, height: 10},
		{name: "ascii", keys: ":telemetry/default enter", opts: Options{ASCII: true, Plain: true}},
		{name: "ascii-chart", keys: ":.snapfs/influx/telemetry/default/cpu/cpu,host=alpha.lp enter", opts: Options{ASCII: true, Plain: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.Title = "/backup/snap  at 2, 2015-11-03T03:04:05Z"
			u := newUser(t, "snap", tt.opts)
			if tt.width > 0 {
				u.size(tt.width, tt.height)
			}
			u.press(tt.keys)
			u.golden(filepath.Join(screens, tt.name+".txt"))
		})
	}
}

func TestPlain(t *testing.T) {
	path := chainOf(t)
	for _, plain := range []bool{false, true} {
		u := newUser(t, path, Options{Plain: plain})
		raw := u.m.View().Content
		colours := false
		for s := range strings.SplitSeq(raw, "\x1b[") {
			code, _, _ := strings.Cut(s, "m")
			colours = colours || strings.ContainsAny(code, "3;")
		}
		if colours == plain {
			t.Errorf("plain %v, colours %v: %q", plain, colours, raw[:200])
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ~": "plain ~", "": "", "a\x00b\x1bc\x7f": "a�b�c�", "ö日": "ö日", "e\u0301x": "e\u0301x", "\u0301x": "◌\u0301x",
		"\u202e": "�", "\xffa": "�a", "a\tb": "a    b", "\u00ad": "�", "\ufffd": "�", "❤\ufe0f": "❤",
		"a\u0301\u0301\u0301\u0301\u0301\u0301b": "a\u0301\u0301\u0301\u0301b",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzFit cuts and fills any text: it has the cells that were asked for, and
// nothing that a terminal obeys.
func FuzzFit(f *testing.F) {
	f.Add("日本語 e\u0301 \x1b[1m", uint8(7), uint8(2))
	f.Add("👩‍👩‍👧\u200d\ufe0f🇩🇪🇩", uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, s string, width, skip uint8) {
		if w := ansi.StringWidth(middle(clean(s), int(width))); width >= 8 && w > int(width) {
			t.Errorf("%q: %d cells of %d", s, w, width)
		}
		got := fit(from(clean(s), int(skip)), int(width))
		if w := ansi.StringWidth(got); w != int(width) {
			t.Errorf("%q: %d cells of %d: %q", s, w, width, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("%q: control characters in %q", s, got)
		}
	})
}

func TestMiddle(t *testing.T) {
	for in, want := range map[string]string{
		"short": "short", "exactly twel": "exactly twel", "boiler,site=Nord,unit=u1": "boile…nit=u1", "日本語日本語日本語日本語": "日本…日本語",
	} {
		if got := middle(in, 12); got != want || ansi.StringWidth(got) > 12 {
			t.Errorf("%q: %q, %d cells, want %q", in, got, ansi.StringWidth(got), want)
		}
	}
}

// many writes a Bolt file with n keys.
func many(t testing.TB, n int) string {
	t.Helper()
	return boltOf(t, "keys", func(b *bolt.Bucket) error {
		for i := range n {
			if err := b.Put(fmt.Appendf(nil, "key %06d", i), []byte("value")); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestMany: of a large directory only what is on the screen is read, until
// somebody asks for more.
func TestMany(t *testing.T) {
	n := 100_000
	u := newUser(t, many(t, n), Options{})
	u.press("end enter right")
	u.sees("key 000000")
	keys := u.m.root.kids[len(u.m.root.kids)-1]
	if got := len(keys.kids); got > 2*firstChunk {
		t.Errorf("%d entries read for one screen", got)
	}
	u.press("pgdown pgdown pgdown")
	if got := len(keys.kids); got > 3*firstChunk {
		t.Errorf("%d entries read for four screens", got)
	}
	u.press("end")
	if !strings.Contains(u.line(), fmt.Sprintf("key %06d", n-1)) || len(keys.kids) != n {
		t.Errorf("after end: %q, %d entries", u.line(), len(keys.kids))
	}
	u.press("home")
	if !strings.HasPrefix(u.line(), ">▾ /") {
		t.Errorf("after home: %q", u.line())
	}
	u.press("down down down left").sees("▸ keys")

	// A search goes past what was read; the way there is read then.
	u = newUser(t, u.m.tree.Path(), Options{})
	u.press("/ 54321 enter")
	if !strings.Contains(u.line(), "key 054321") {
		t.Errorf("after search: %q", u.line())
	}
	u.press("n").sees("went on from the other end")
	u.press("/ 0999*9 enter")
	if !strings.Contains(u.line(), "key 099909") {
		t.Errorf("after search: %q", u.line())
	}
	u.press("n")
	if !strings.Contains(u.line(), "key 099919") {
		t.Errorf("next: %q", u.line())
	}
	u.press("N")
	if !strings.Contains(u.line(), "key 099909") {
		t.Errorf("previous: %q", u.line())
	}
	u.press("/ nowhere enter").sees("not found in ")
}

func TestExport(t *testing.T) {
	path := chainOf(t)
	u := newUser(t, path, Options{})
	dir := t.TempDir()
	u.press(":telemetry/default/1 enter e backspace " + dir + " enter").sees("exported 1 files, ")
	want, err := os.ReadFile(filepath.Join(dir, "1"))
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, u.m.tree, "telemetry/default/1")
	if !bytes.Equal(got, want) {
		t.Error("the file differs")
	}
	u.press("e backspace " + dir + " enter").sees("1 were there already")
	if err := os.WriteFile(filepath.Join(dir, "1"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.press("e backspace " + dir + " enter")
	if b, err := os.ReadFile(filepath.Join(dir, "1")); err != nil || string(b) != "mine" || strings.Contains(u.screen(), "exported") {
		t.Errorf("exported over a file: %q, %v\n%s", b, err, u.screen())
	}
	u.press(":.snapfs/influx/events/default/deploy/deploy,app=web.lp enter e backspace " + dir + " enter").sees("exported 1 files")
	if b, err := os.ReadFile(filepath.Join(dir, "deploy,app=web.lp")); err != nil || !bytes.Equal(b, read(t, u.m.tree, ".snapfs/influx/events/default/deploy/deploy,app=web.lp")) {
		t.Errorf("series: %q, %v", b, err)
	}
	u.press(":telemetry enter e backspace " + dir + "/sub enter").sees("exported 3 files")
	if _, err := os.Stat(filepath.Join(dir, "sub", "telemetry", "week", "2")); err != nil {
		t.Error(err)
	}
	u.press("home e backspace " + dir + " enter").sees("exported 6 files")
	if _, err := os.Stat(filepath.Join(dir, "snap.files", ".snapfs")); err == nil {
		t.Error("the control directory was exported with the root")
	}
}

func read(t testing.TB, tree *space.Tree, name string) []byte {
	t.Helper()
	b, err := readHead(t.Context(), tree, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHexWindow scrolls through a value that is larger than what is read at a
// time.
func TestHexWindow(t *testing.T) {
	value := make([]byte, 3*windowSize)
	for i := 0; i < len(value); i += 4 {
		binary.BigEndian.PutUint32(value[i:], uint32(i))
	}
	path := boltOf(t, "b", func(b *bolt.Bucket) error { return b.Put([]byte("k"), value) })
	u := newUser(t, path, Options{})
	u.press("end enter right")
	if u.m.view.mode != modeHex {
		t.Fatalf("mode %v", u.m.view.mode)
	}
	u.press("tab end").sees("0002fff8  00 02 ff f8  00 02 ff fc")
	for range 2000 {
		u.press("pgup")
		if s := u.screen(); strings.Contains(s, "  …\n") {
			t.Fatalf("bytes are missing:\n%s", s)
		}
	}
	u.sees("00000000  00 00 00 00  00 00 00 04")
}

// TestClose: what reads when the browser is closed has ended before, and nothing
// begins after that.
func TestClose(t *testing.T) {
	u := newUser(t, chainOf(t), Options{})
	began, ended := make(chan bool), make(chan bool)
	cmd := u.m.runs.command(func() tea.Msg {
		began <- true
		<-u.m.ctx.Done()
		close(ended)
		return nil
	})
	go cmd()
	<-began
	u.m.Close()
	select {
	case <-ended:
	default:
		t.Error("closed while something was being read")
	}
	if msg := u.m.runs.command(func() tea.Msg { return "ran" })(); msg != nil {
		t.Errorf("after the end: %v", msg)
	}
}

// TestSlow: keys are taken while something is being read, and a result that
// comes late is of no use.
func TestSlow(t *testing.T) {
	u := newUser(t, chainOf(t), Options{})
	var late []tea.Cmd
	for _, k := range []rune{tea.KeyEnd, tea.KeyUp, tea.KeyUp} {
		_, cmd := u.m.Update(tea.KeyPressMsg{Code: k})
		late = append(late, cmd)
	}
	if !strings.Contains(u.line(), "manifest") {
		t.Errorf("%q", u.line())
	}
	for _, cmd := range late {
		u.do(cmd)
	}
	u.sees("path     manifest", `"name": "events/default/3",`)

	// What is under way when the model is closed ends.
	ctx, cancel := context.WithCancel(t.Context())
	tree, err := space.Open(u.m.tree.Path(), space.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	cancel()
	s, ok := tree.Series(".snapfs/influx/telemetry/default/cpu/cpu,host=alpha.lp")
	if c := readChart(ctx, tree.Data(), s, 0, 10); !ok || c.err == nil {
		t.Errorf("a chart was read after the end: %+v, %v", c, ok)
	}
}

// TestAwayAndBack: a reading that was given up, since something else was selected,
// is begun again when the user comes back before it has ended.
func TestAwayAndBack(t *testing.T) {
	u := newUser(t, chainOf(t), Options{})
	u.press(":.snapfs/influx/telemetry/default/cpu/cpu,host=alpha.lp")
	u.press("enter").sees("cpu,host=alpha.lp", "[chart]")
	_, late := u.m.Update(tea.WindowSizeMsg{Width: 120, Height: 30}) // the chart is read again
	for _, k := range []rune{tea.KeyUp, tea.KeyDown} {
		_, cmd := u.m.Update(tea.KeyPressMsg{Code: k})
		late = tea.Batch(late, cmd)
	}
	u.do(late)
	if c := u.m.view.chart; c == nil || c.err != nil || c.line == nil {
		t.Errorf("%+v\n%s", c, u.screen())
	}
}

func TestKeyTime(t *testing.T) {
	at := time.Date(2015, 11, 2, 3, 4, 5, 6, time.UTC)
	key := string(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())))
	if got, ok := keyTime(key); !ok || !got.Equal(at) {
		t.Errorf("%v, %v", got, ok)
	}
	for _, key := range []string{"", "short", "\x00\x00\x00\x00\x00\x00\x00\x07", "textkeys", "\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if got, ok := keyTime(key); ok {
			t.Errorf("%q is %v", key, got)
		}
	}
}

// TestRealChains goes through the chains of real servers: the first rows of
// everything, each shown in all its modes.
func TestRealChains(t *testing.T) {
	decoded := 0
	for _, path := range realchains.All(t) {
		u := newUser(t, path, Options{})
		u.press(":.snapfs/bolt enter right")
		for range 60 {
			u.press("down")
			if !u.m.selected().open {
				u.press("right")
			}
			for range len(u.m.view.modes) {
				if u.m.view.mode == modeDecoded {
					decoded++
				}
				u.screen()
				u.press("v")
			}
		}
	}
	if decoded == 0 {
		t.Error("nothing was decoded")
	}
}
