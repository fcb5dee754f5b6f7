package influx

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/klauspost/compress/s2"
)

var fuzzFields = []Field{{ID: 1, Name: "f", Type: Float}, {ID: 2, Name: "i", Type: Integer}, {ID: 3, Name: "b", Type: Boolean},
	{ID: 4, Name: "s", Type: String}, {ID: 5, Name: "odd", Type: 6}, {ID: 200, Name: "a b,c=d", Type: Float}, {ID: 255, Name: "i", Type: Float}}

// FuzzFieldData decodes points. What decodes is encoded and decoded again, and
// written as a line, which must parse.
func FuzzFieldData(f *testing.F) {
	f.Add([]byte("\x01\x3f\xf8\x00\x00\x00\x00\x00\x00\x03\x01"))
	f.Add([]byte("\x04\x00\x02hi\x02\xff\xff\xff\xff\xff\xff\xff\xff\x04\x00\x00"))
	f.Add([]byte("\xc8\x7f\xf0\x00\x00\x00\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(append([]byte("\x04\x00\x00"), bytes.Repeat([]byte("x"), 1<<16)...))
	set := newFieldSet(fuzzFields)
	f.Fuzz(func(t *testing.T, data []byte) {
		var buf []FieldValue
		n, undefined, reason := set.decode(&buf, data)
		got := buf[:n]
		if reason != "" {
			if undefined != 0 && set.field(undefined) != nil {
				t.Errorf("field %d is defined", undefined)
			}
			if len(data) > 0 && set.whole(data) {
				t.Errorf("whole, but %s", reason)
			}
			return
		}
		if len(got) == 0 || undefined != 0 {
			t.Fatalf("%d fields, %d undefined", len(got), undefined)
		}
		if !set.whole(data) {
			t.Error("whole does not agree")
		}
		var again []byte
		for i, v := range got {
			if i > 0 && got[i-1].Field.Name >= v.Field.Name {
				t.Errorf("%q after %q", v.Field.Name, got[i-1].Field.Name)
			}
			again = append(again, v.Field.ID)
			switch v.Value.Type() {
			case Float, Integer:
				again = binary.BigEndian.AppendUint64(again, v.Value.bits)
			case Boolean:
				again = append(again, byte(v.Value.bits))
			case String:
				again = append(binary.BigEndian.AppendUint16(again, uint16(len(v.Value.text))), v.Value.text...)
			}
		}
		var buf2 []FieldValue
		n, _, reason = set.decode(&buf2, again)
		twice := buf2[:n]
		if reason != "" || !slices.EqualFunc(got, twice, func(a, b FieldValue) bool {
			return a.Field == b.Field && a.Value.bits == b.Value.bits && bytes.Equal(a.Value.text, b.Value.text)
		}) {
			t.Errorf("%v again is %v, %s", got, twice, reason)
		}

		line, err := AppendPoint(nil, []byte("m"), Point{Time: 7, Fields: got}, 0)
		written := len(got)
		if bad, ok := err.(*LineError); ok {
			written -= bad.Skipped
		}
		if !utf8.Valid(line) {
			return // which the library does not take
		}
		dec := lineprotocol.NewDecoderWithBytes(line)
		for dec.Next() {
			for {
				k, kind, v, err := dec.NextFieldBytes()
				if err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				if k == nil {
					break
				}
				written--
				i := slices.IndexFunc(got, func(v FieldValue) bool { return v.Field.Name == string(k) })
				if i < 0 {
					t.Fatalf("%q: no field %q", line, k)
				}
				if v, err := lineprotocol.NewValueFromBytes(kind, v); err != nil || v.Interface() != got[i].Value.Any() {
					t.Errorf("%q: %q is %v, want %v: %v", line, k, v, got[i].Value, err)
				}
			}
		}
		if written != 0 {
			t.Errorf("%q: %d fields are not there", line, written)
		}
	})
}

// FuzzSeriesKey parses keys. What was parsed is written and parsed again, as a
// key and as line protocol.
func FuzzSeriesKey(f *testing.F) {
	for _, key := range []string{"cpu", "cpu,host=a", `we\ ird\,m,t\=1=a\,b\ c\=d`, `m,p=C:\`, "m,", ",a=1", `\,`, "a,b=,c=d", "größe,ort=\xfc", "a=b,c=d=e", `x\y,\a=\\b`} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		m, tags, err := ParseSeriesKey(key)
		if name, nerr := measurementIn(key); name != m || (nerr == nil) != (m != "") {
			t.Errorf("%q is of %q, %v, not %q", key, name, nerr, m)
		}
		if err != nil {
			return
		}
		backslash := strings.HasSuffix(m, `\`)
		for _, tag := range tags {
			backslash = backslash || strings.HasSuffix(tag.Key, `\`) || strings.HasSuffix(tag.Value, `\`)
		}
		if backslash {
			return // not told from an escape
		}
		again := seriesKey(m, tags)
		m2, tags2, err := ParseSeriesKey(again)
		if err != nil || m2 != m || !slices.Equal(tags2, tags) {
			t.Errorf("%q is %q %q, then %q %q, %v", key, m, tags, m2, tags2, err)
		}
		if name := measurementOf(again, tags); name != m {
			t.Errorf("%q has measurement %q, want %q", again, name, m)
		}
		line, err := AppendSeries(nil, m, tags)
		if err != nil {
			return
		}
		full := !slices.ContainsFunc(tags, func(t Tag) bool { return t.Value == "" })
		if full && string(line) != again {
			t.Errorf("line %q, key %q", line, again)
		}
		if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
			return // which the library does not take
		}
		dec := lineprotocol.NewDecoderWithBytes(append(line, " f=1"...))
		if !dec.Next() {
			t.Fatalf("%q is no line", line)
		}
		if name, err := dec.Measurement(); err != nil || string(name) != m {
			t.Fatalf("%q: measurement %q, %v, want %q", line, name, err, m)
		}
		for _, tag := range tags {
			if tag.Value == "" {
				continue
			}
			if k, v, err := dec.NextTag(); err != nil || string(k) != tag.Key || string(v) != tag.Value {
				t.Fatalf("%q: tag %q=%q, %v, want %q", line, k, v, err, tag)
			}
		}
	})
}

// FuzzBlock merges two blocks, either as snappy data or as what to compress.
func FuzzBlock(f *testing.F) {
	entries := func(times ...int64) []byte {
		var b []byte
		for _, t := range times {
			b = append(binary.BigEndian.AppendUint64(b, uint64(t)), 0, 0, 0, 2, 3, 1)
		}
		return b
	}
	f.Add(int64(1), int64(9), entries(1, 5, 9), int64(5), int64(6), entries(5, 6), true)
	f.Add(int64(1), int64(9), s2.EncodeSnappy(nil, entries(1, 5, 9)), int64(10), int64(11), []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, false)
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), entries(math.MinInt64, math.MaxInt64), int64(math.MaxInt64), int64(0), entries(math.MaxInt64), true)
	f.Fuzz(func(t *testing.T, start1, end1 int64, data1 []byte, start2, end2 int64, data2 []byte, compress bool) {
		if start1 > start2 {
			start1, end1, data1, start2, end2, data2 = start2, end2, data2, start1, end1, data1
		}
		if compress {
			data1, data2 = s2.EncodeSnappy(nil, data1), s2.EncodeSnappy(nil, data2)
		}
		first, last, errs := true, int64(0), 0
		m := blocks{bucket: "b", free: new(sync.Pool), from: -100, to: math.MaxInt64, yield: func(time int64, _ []byte, _ string, _ uint64, err error) bool {
			switch {
			case err != nil:
				errs++
			case !first && time <= last || time < -100:
				t.Errorf("time %d after %d", time, last)
			default:
				first, last = false, time
			}
			return true
		}}
		ok := m.open(start1, append(binary.BigEndian.AppendUint64(nil, uint64(end1)), data1...)) &&
			m.drain(start2, false) &&
			m.open(start2, append(binary.BigEndian.AppendUint64(nil, uint64(end2)), data2...)) &&
			m.drain(maxTime, true)
		if !ok || len(m.active) != 0 || errs > 2 {
			t.Errorf("%v, %d blocks left, %d errors", ok, len(m.active), errs)
		}
	})
}
