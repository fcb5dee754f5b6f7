package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/snapfs/snapfs/internal/names"
)

// formatFlag says how keys and values are printed.
type formatFlag struct {
	Format string `short:"f" default:"auto" enum:"auto,ascii,ascii-encoded,hex,bytes,redacted,json,be64,time" placeholder:"FORMAT" help:"How to print: auto, ascii, hex, bytes, redacted, json, be64, time."`
}

// parseFlag says how keys are given.
type parseFlag struct {
	ParseFormat string `default:"text" enum:"text,ascii,ascii-encoded,hex,be64,time,name" placeholder:"FORMAT" help:"How keys are given: text, ascii, hex, be64, time, name."`
}

// bucketFlag says how buckets are given.
type bucketFlag struct {
	BucketFormat string `default:"text" enum:"text,ascii,ascii-encoded,hex,be64,time,name" placeholder:"FORMAT" help:"How buckets are given, as --parse-format."`
}

// isText reports whether b can be shown as it is.
func isText(b []byte) bool {
	return utf8.Valid(b) && bytes.IndexFunc(b, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// format returns b as it is printed.
func (f formatFlag) format(b []byte) []byte {
	switch f.Format {
	case "ascii":
		return strconv.AppendQuoteToASCII(nil, string(b))
	case "ascii-encoded":
		return strconv.AppendQuote(nil, string(b))
	case "hex":
		return hex.AppendEncode(nil, b)
	case "bytes":
		return b
	case "redacted":
		return fmt.Appendf(nil, "<redacted len:%d sha256:%x>", len(b), sha256.Sum256(b))
	case "json":
		return formatJSON(b)
	case "be64", "time":
		if len(b) != 8 {
			return fmt.Appendf(nil, "0x%x", b)
		}
		n := binary.BigEndian.Uint64(b)
		if f.Format == "be64" {
			return strconv.AppendUint(nil, n, 10)
		}
		return time.Unix(0, int64(n)).UTC().AppendFormat(nil, time.RFC3339Nano)
	}
	if isText(b) {
		return b
	}
	return hex.AppendEncode(nil, b)
}

// formatJSON returns a JSON string, or an object if b is no UTF-8.
func formatJSON(b []byte) []byte {
	if !utf8.Valid(b) {
		return fmt.Appendf(nil, `{"hex":"%x"}`, b)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(string(b)) // a string always can be
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// key turns an argument into a key.
func (p parseFlag) key(arg string) ([]byte, error) { return parseKey(p.ParseFormat, arg) }

// parseKey turns an argument in a format into a key.
func parseKey(format, arg string) ([]byte, error) {
	key, err := parseBytes(format, arg)
	if err != nil {
		return nil, &codeError{fmt.Errorf("%q as %s: %w", arg, format, err), exitUsage}
	}
	return key, nil
}

func parseBytes(format, arg string) ([]byte, error) {
	switch format {
	case "ascii":
		quoted := arg
		if len(arg) < 2 || !strings.HasPrefix(arg, `"`) || !strings.HasSuffix(arg, `"`) {
			quoted = `"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`
		}
		s, err := strconv.Unquote(quoted)
		return []byte(s), err
	case "hex":
		return hex.DecodeString(strings.TrimPrefix(arg, "0x"))
	case "be64":
		n, err := strconv.ParseUint(arg, 10, 64)
		if e := (*strconv.NumError)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return binary.BigEndian.AppendUint64(nil, n), err
	case "time":
		return parseTime(arg)
	case "name":
		key, ok := names.Decode(arg)
		if !ok {
			return nil, errors.New("not a name as in the mount")
		}
		return key, nil
	}
	return []byte(arg), nil
}

func parseTime(arg string) ([]byte, error) {
	t, err := time.Parse(time.RFC3339Nano, arg)
	if err != nil {
		return nil, errors.New("not a time such as 2015-11-02T03:04:05.678Z")
	}
	ns := t.UnixNano()
	if !time.Unix(0, ns).Equal(t) {
		return nil, errors.New("not between the years 1678 and 2262")
	}
	return binary.BigEndian.AppendUint64(nil, uint64(ns)), nil
}

// jsonKey is a key in the output of --json.
type jsonKey struct {
	Key *string `json:"key,omitempty"` // only if it is printable text
	Hex string  `json:"key_hex"`
}

func newJSONKey(key []byte) jsonKey { return jsonKey{text(key), hex.EncodeToString(key)} }

// jsonValue is a value in the output of --json.
type jsonValue struct {
	Value  *string `json:"value,omitempty"` // only if it is printable text
	Base64 string  `json:"value_base64"`
}

func newJSONValue(v []byte) *jsonValue {
	return &jsonValue{text(v), base64.StdEncoding.EncodeToString(v)}
}

// text returns b if it can be shown as it is.
func text(b []byte) *string {
	if !isText(b) {
		return nil
	}
	s := string(b)
	return &s
}
