package sample

import "strings"

// tag is a tag of a series, without escapes.
type tag struct{ key, value string }

// measurement returns the measurement of a series key, without escapes.
func measurement(series string) string {
	m, _, _ := cut(series, ',')
	return strings.NewReplacer(`\,`, ",", `\ `, " ").Replace(m)
}

// tags returns the tags of a series key. Keys of series have escapes, and what
// servers write beside them, records and definitions, has none.
func tags(series string) []tag {
	plain := strings.NewReplacer(`\,`, ",", `\ `, " ", `\=`, "=")
	var list []tag
	_, rest, more := cut(series, ',')
	for more {
		var one string
		one, rest, more = cut(rest, ',')
		k, v, _ := cut(one, '=')
		list = append(list, tag{plain.Replace(k), plain.Replace(v)})
	}
	return list
}

// cut is strings.Cut around the first sep that no backslash escapes.
func cut(s string, sep byte) (before, after string, found bool) {
	for i := range len(s) {
		if s[i] == sep && (i == 0 || s[i-1] != '\\') {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
