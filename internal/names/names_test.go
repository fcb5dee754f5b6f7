package names

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
)

func TestKey(t *testing.T) {
	long := strings.Repeat("k", 300)
	for _, tt := range []struct{ key, want string }{
		{"cpu,host=a", "cpu,host=a"},
		{"m 1", "m 1"},
		{"tänk", "tänk"},
		{"", "%"},
		{".", "%2E"},
		{"..", "%2E."},
		{".info.json", "%2Einfo.json"},
		{"a.b", "a.b"},
		{"50%", "50%25"},
		{"a/b", "a%2Fb"},
		{`eu\ west`, "eu%5C west"},
		{"\x00\x00\x01", "%00%00%01"},
		{"\xff\xfe", "%FF%FE"},
		{"a\u202eb", "a%E2%80%AEb"}, // right-to-left override
		{"x~0123456789abcdef", "x%7E0123456789abcdef"},
		{"x~0123456789abcdeg", "x~0123456789abcdeg"},
		{long, long[:238] + "~" + "98fb6f5c1fb1ce4b"},
	} {
		got := Key([]byte(tt.key))
		if tt.key == long {
			if len(got) != Max || got[:239] != tt.want[:239] {
				t.Errorf("Key(300 bytes) = %q", got)
			}
			prefix, ok := Long(got)
			if !ok || !strings.HasPrefix(long, string(prefix)) {
				t.Errorf("Long(%q) = %q, %v", got, prefix, ok)
			}
			continue
		}
		if got != tt.want {
			t.Errorf("Key(%q) = %q, want %q", tt.key, got, tt.want)
		}
	}
}

func TestPath(t *testing.T) {
	for _, tt := range []struct {
		member, want string
		escaped      bool
	}{
		{"telemetry/default/1", "telemetry/default/1", false},
		{"./a/b", "a/b", false},
		{"/a//b/", "a/b", false},
		{"a/../b", "b", false},
		{"../default/1", "%2E%2E/default/1", true},
		{"/../../x", "%2E%2E/%2E%2E/x", true},
		{"", ".", false},
		{"./", ".", false},
		{"a%b", "a%25b", true},
		{`a\b/c`, "a%5Cb/c", true},
		{"Großer Ärger/1", "Großer Ärger/1", false},
		{"\xff/1", "%FF/1", true},
		{".hidden", ".hidden", false},
		{"...", "...", false},
	} {
		got, escaped := Path(tt.member)
		if got != tt.want || escaped != tt.escaped {
			t.Errorf("Path(%q) = %q, %v, want %q, %v", tt.member, got, escaped, tt.want, tt.escaped)
		}
		if !fs.ValidPath(got) {
			t.Errorf("Path(%q) = %q is not a valid path", tt.member, got)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, name := range []string{"", "%2", "%2e", "%zz", "%41", "a/b", ".", "..", "a\x00", "\xff", strings.Repeat("a", 256)} {
		if key, ok := Decode(name); ok {
			t.Errorf("Decode(%q) = %q, want a refusal", name, key)
		}
	}
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{"", ".", "..", ".x", "a~0123456789abcdef", "%", "%41", "\xff\x00/", strings.Repeat("é", 200), strings.Repeat("\x01", 90)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		name := Key(key)
		if !fs.ValidPath(name) || strings.ContainsRune(name, '/') || len(name) > Max || name[0] == '.' {
			t.Fatalf("Key(%q) = %q is no file name", key, name)
		}
		if prefix, long := Long(name); long {
			if !bytes.HasPrefix(key, prefix) {
				t.Fatalf("Long(%q) = %q, no prefix of %q", name, prefix, key)
			}
			return
		}
		got, ok := Decode(name)
		if !ok || !bytes.Equal(got, key) {
			t.Fatalf("Decode(%q) = %q, %v, want %q", name, got, ok, key)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"a/b", "../x", "/", "a/../../b", "\xff/%2E", "a/./b//c/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, member string) {
		p, _ := Path(member)
		if !fs.ValidPath(p) {
			t.Fatalf("Path(%q) = %q is not valid", member, p)
		}
		for elem := range strings.SplitSeq(p, "/") {
			if len(elem) > Max {
				t.Fatalf("Path(%q) has an element of %d bytes", member, len(elem))
			}
		}
	})
}
