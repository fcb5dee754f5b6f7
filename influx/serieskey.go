package influx

import (
	"fmt"
	"strings"
)

// Tag is a tag of a series, without escapes.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Bytes that a backslash escapes, in each place of a series key and of line
// protocol.
const (
	measurementSpecial = ", "
	tagSpecial         = ", ="
	fieldKeySpecial    = ", ="
)

// ParseSeriesKey splits a series key into its measurement and tags, unescaped.
// It returns [ErrSeriesKey] if there is no measurement, or a tag without a name
// or "=".
//
// A backslash that is not before one of the bytes that need one is itself, as
// servers have it. Therefore a name that ends in a backslash cannot be told
// from an escape: the record of a series knows better, see [Shard.Series].
func ParseSeriesKey(key string) (measurement string, tags []Tag, err error) {
	name, rest, more := cutEscaped(key, ',')
	if name == "" {
		return "", nil, fmt.Errorf("parse %q: no measurement: %w", key, ErrSeriesKey)
	}
	measurement = unescape(name, measurementSpecial)
	if !more {
		return measurement, nil, nil
	}
	tags = make([]Tag, 0, 1+strings.Count(rest, ","))
	for more {
		var tag string
		tag, rest, more = cutEscaped(rest, ',')
		k, v, ok := cutEscaped(tag, '=')
		if !ok || k == "" {
			return measurement, tags, fmt.Errorf("parse %q: tag %q: %w", key, tag, ErrSeriesKey)
		}
		tags = append(tags, Tag{unescape(k, tagSpecial), unescape(v, tagSpecial)})
	}
	return measurement, tags, nil
}

// measurementIn is ParseSeriesKey for who does not ask for tags, nor whether
// they are well-formed.
func measurementIn(key string) (string, error) {
	name, _, _ := cutEscaped(key, ',')
	if name == "" {
		_, _, err := ParseSeriesKey(key)
		return "", err
	}
	return unescape(name, measurementSpecial), nil
}

// cutEscaped is strings.Cut around the first sep without a backslash before it.
func cutEscaped(s string, sep byte) (before, after string, found bool) {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], sep)
		if i < 0 {
			return s, "", false
		}
		i += from
		if i == 0 || s[i-1] != '\\' {
			return s[:i], s[i+1:], true
		}
		from = i + 1
	}
}

// unescape takes the backslash from before each of the special bytes.
func unescape(s, special string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(special, s[i+1]) >= 0 {
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// escape puts a backslash before each of the special bytes.
func escape(dst []byte, s, special string) []byte {
	if !strings.ContainsAny(s, special) {
		return append(dst, s...)
	}
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

// seriesKey makes a series key as servers do, for shards that have none.
func seriesKey(measurement string, tags []Tag) string {
	b := escape(nil, measurement, measurementSpecial)
	for _, t := range tags {
		b = escape(append(b, ','), t.Key, tagSpecial)
		b = escape(append(b, '='), t.Value, tagSpecial)
	}
	return string(b)
}
