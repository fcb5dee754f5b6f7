package hint_test

import (
	"errors"
	"os/exec"
	"testing"

	"github.com/snapfs/snapfs/internal/hint"
)

// TestQuote has a shell read what Quote makes.
func TestQuote(t *testing.T) {
	for path, want := range map[string]string{
		"/tmp/a-b_c+d,e:f@g%h.1": "/tmp/a-b_c+d,e:f@g%h.1",
		"":                       "''",
		"my backups/snap":        "'my backups/snap'",
		"it's":                   `'it'\''s'`,
		"$(reboot)`x`;&|<>":      "'$(reboot)`x`;&|<>'",
		"~/snap":                 "'~/snap'",
		"*?[a]{b,c}!#":           "'*?[a]{b,c}!#'",
		"a\nb\\c":                "'a\nb\\c'",
		"é":                      "'é'",
		"-rf":                    "./-rf",
		"-r f":                   "'./-r f'",
	} {
		got := hint.Quote(path)
		if got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
		word, err := exec.Command("sh", "-c", "printf '<%s>' "+got).Output()
		if err != nil || string(word) != "<"+path+">" && string(word) != "<./"+path+">" {
			t.Errorf("%q: %q, %v", path, word, err)
		}
	}
}

func TestOf(t *testing.T) {
	cause := errors.New("cause")
	err := hint.Wrap(hint.Wrap(cause, "inner"), "%s %d", "outer", 1)
	if hint.Of(err) != "outer 1" || err.Error() != "cause" || !errors.Is(err, cause) {
		t.Errorf("%q, %v", hint.Of(err), err)
	}
	if h := hint.Of(cause); h != "" || hint.Wrap(nil, "no error") != nil {
		t.Errorf("%q", h)
	}
}
