package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rivo/uniseg"

	"github.com/snapfs/snapfs/internal/sample"
)

// TestTable makes a table narrower and narrower. The é is two characters.
func TestTable(t *testing.T) {
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, `
POINT  FILE                  ADDED  KEPT  WHY
full   a-name-of-a-snapshot    100     9  the first copy that there was of it
a note, as wide as it is
0      größe-日本-é-日本      2000     9  -
`},
		{70, `
POINT  FILE                  ADDED  KEPT  WHY
full   a-name-of-a-snapshot    100     9  the first copy that there
                                          was of it
a note, as wide as it is
0      größe-日本-é-日本      2000     9  -
`},
		{58, `
POINT  FILE          ADDED  KEPT  WHY
full   a-name…pshot    100     9  the first copy that
                                  there was of it
a note, as wide as it is
0      größe-…-日本   2000     9  -
`},
		{57, `
POINT  FILE               ADDED  WHY
full   a-name-o…snapshot    100  the first copy that
                                 there was of it
a note, as wide as it is
0      größe-日本-é-日本   2000  -
`},
		{20, `
POINT  FILE          ADDED  WHY
full   a-name…pshot    100  the first copy that there was of it
a note, as wide as it is
0      größe-…-日本   2000  -
`},
	} {
		tab := &table{head: []string{"POINT", "~FILE", ">ADDED", "?>KEPT", "|WHY"}, width: c.width}
		tab.add("full", "a-name-of-a-snapshot", "100", "9", "the first copy that there was of it")
		tab.note("a note, as wide as it is")
		tab.add("0", "größe-日本-e\u0301-日本", "2000", "9", "-")
		var b strings.Builder
		if err := tab.write(&b); err != nil {
			t.Fatal(err)
		}
		if got, want := "\n"+b.String(), strings.ReplaceAll(c.want, "é", "e\u0301"); got != want {
			t.Errorf("%d columns:%s\nwant%s", c.width, got, want)
		}
	}
}

// TestLongWord: a wrapped column has room for its longest word, if others are
// spare.
func TestLongWord(t *testing.T) {
	tab := &table{head: []string{"POINT", "?SPARE", "|WHY"}, width: 46}
	tab.add("full", "something", "newer than 2015-11-01T15:03:05.123456789Z it is")
	var b strings.Builder
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "POINT  WHY\nfull   newer than\n       2015-11-01T15:03:05.123456789Z it is\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestWideNames: what stands in columns does so where names have characters of
// two cells, or of none.
func TestWideNames(t *testing.T) {
	names := []string{"größe-東京", "e\u0301te\u0301", "plain", "👩🏽"}
	data, err := sample.Shard{Flushed: []sample.Point{{Series: "m", Time: sample.Start, Fields: map[string]any{"v": 1.0}}}}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var files []sample.File
	for i, n := range names {
		files = append(files, sample.File{Name: n + "/default/" + string(rune('1'+i)), Data: data, Modified: sample.Start})
	}
	snap := filepath.Join(t.TempDir(), "snap")
	if err := sample.Write(snap, sample.Layer{Time: sample.Start, Files: files}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args          []string
		before, after string // a name and after it, in each line looked at
		cell          string // in the same column in each
	}{
		{[]string{"ls", "-l", snap}, " ", "/\n", ""},
		{[]string{"find", "-l", snap}, " ", "/default/", ""},
		{[]string{"tree", snap}, "── ", "\n", ""},
		{[]string{"du", snap}, "  ", "\n", ""},
		{[]string{"du", "--by", "shard", snap}, "  ", "  ", "default  "},
		{[]string{"measurements", snap}, "", "  ", "default  "},
	} {
		out, errs, code := runApp(t, c.args...)
		if code != exitOK {
			t.Fatalf("%q: exit code %d, %s", c.args, code, errs)
		}
		columns := map[int]bool{}
		for _, n := range names {
			i := strings.Index(out, c.before+n+c.after)
			if i < 0 {
				if i = strings.Index(out, c.before+n+" "); i < 0 {
					t.Errorf("%q: no line of %q in\n%s", c.args, n, out)
					continue
				}
			}
			i += len(c.before)
			line := out[strings.LastIndex(out[:i], "\n")+1:]
			line, _, _ = strings.Cut(line, "\n")
			cell := c.cell
			if cell == "" {
				cell = n
			}
			head, _, _ := strings.Cut(line, cell)
			columns[uniseg.StringWidth(head)] = true
		}
		if len(columns) != 1 {
			t.Errorf("%q: columns %v of\n%s", c.args, columns, out)
		}
	}
}

// TestNarrow: on a terminal of 80 columns no line of these is wider, and in a
// pipe nothing is left out.
func TestNarrow(t *testing.T) {
	made, err := sample.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// Paths of the same length each time, as they are on the screen.
	t.Chdir(t.TempDir())
	snap := "machines/cellar/two-thousand-fifteen/backup-of-november-größe-東京"
	if err := os.MkdirAll(filepath.Dir(snap), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, layer := range []string{"", ".0", ".1", ".2"} {
		if err := os.Rename(made+layer, snap+layer); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("long text ", 20)
	data, err := sample.Shard{Flushed: []sample.Point{
		{Series: "m,t=northern-europe-one", Time: sample.Start, Fields: map[string]any{"v": long}},
		{Series: "m,t=northern-europe-two", Time: sample.Start, Fields: map[string]any{"v": long}},
	}}.Bytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other := sample.Layer{Time: sample.Start.AddDate(0, 0, 9), Files: []sample.File{{Name: "other/default/9", Data: data, Modified: sample.Start.AddDate(0, 0, 9)}}}
	f, err := os.Create(snap + ".3")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := other.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	torn, err := sample.Chain(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(torn, 40000); err != nil {
		t.Fatal(err)
	}
	copied := regexp.MustCompile(`^ *(hint: |snapfs |dd: |file: )`)
	for _, c := range []struct {
		args []string
		pipe string // what is whole in a pipe only
		code int
	}{
		{[]string{"log", snap}, filepath.Base(snap) + ".3", exitOK},
		{[]string{"log", snap, aShard}, "  its lastModified 2015-11-01T15:03:05Z is newer than that of full\n", exitOK},
		{[]string{"points", snap}, filepath.Base(snap) + ".3", exitOK},
		{[]string{"diff", "--ghosts", "show", "--points", snap, "2", "latest"}, long, exitOK},
		{[]string{"why", snap, aShard}, " took its place: its lastModified 2015-11-01T15:03:05Z is newer than that of full\n", exitOK},
		{[]string{"ls", "-lR", "--ghosts", "show", snap}, "-rw-rw-rw-       204800  2015", exitOK},
		{[]string{"stat", snap, "telemetry/week/2"}, " unknown to the meta of layer 2: database or policy dropped, or expired\n", exitOK},
		{[]string{"verify", snap}, " hint: to bring them back: snapfs restore ", exitOK},
		{[]string{"prune", "-n", snap}, ": snapfs flatten '", exitOK},
		{[]string{"databases", snap}, "  REPLICAS  ", exitOK},
		{[]string{"info", "--count", snap}, "  ENGINE  ", exitOK},
		{[]string{"info", snap}, "  KEPT  ", exitOK},
		{[]string{"tags", snap}, "  northern-europe-one, northern-europe-two\n", exitOK},
		{[]string{"doctor", torn}, "  REPLACED  ", exitDamage},
	} {
		piped, errs, code := runApp(t, c.args...)
		if code != c.code || !strings.Contains(piped, c.pipe) {
			t.Errorf("%q: exit code %d, %s, no %q in\n%s", c.args, code, errs, c.pipe, piped)
		}
		shown := inTerminal(t, nil, c.args...).text()
		if shown == "" || strings.Contains(shown, c.pipe) {
			t.Errorf("%q shows\n%s", c.args, shown)
		}
		for line := range strings.SplitSeq(shown, "\n") {
			line = line[strings.LastIndex(line, "\r")+1:] // after the progress
			// Commands and paths are to be copied.
			if n := uniseg.StringWidth(line); n > 80 && !copied.MatchString(line) {
				t.Errorf("%q: %d columns: %s", c.args, n, line)
			}
		}
	}
}
