package browse

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/names"
	"github.com/snapfs/snapfs/space"
)

// maxPoints is how many points of a block are shown.
const maxPoints = 1000

// keyTime returns a key of 8 bytes as a time, if it is one that a point of these
// years may have.
func keyTime(key string) (time.Time, bool) {
	if len(key) != 8 {
		return time.Time{}, false
	}
	t := time.Unix(0, stamp(key)).UTC()
	return t, t.Year() > 1970 && t.Year() < 2100
}

// timeLayout is how times of points are shown.
const timeLayout = time.RFC3339Nano

// decode returns what a key of a Bolt file stands for, as lines: the points of a
// shard, or a number. Nil if nothing is known of it.
func decode(ctx context.Context, tree *space.Tree, name string, value []byte, size int64) []string {
	if lines := decodePoints(ctx, tree, name, value); lines != nil {
		return lines
	}
	if len(value) != 8 || size != 8 {
		return nil
	}
	n := binary.BigEndian.Uint64(value)
	lines := []string{fmt.Sprintf("number  %d", n)}
	if t, ok := keyTime(string(value)); ok {
		lines = append(lines, "time    "+t.Format(timeLayout))
	}
	return lines
}

// decodePoints decodes the value of a key that holds points. The layouts are
// those of the engines (FORMAT: b1, bz1).
func decodePoints(ctx context.Context, tree *space.Tree, name string, value []byte) []string {
	sh, keys := shardKey(tree, name)
	if sh == nil {
		return nil
	}
	shard, err := sh.Open()
	if err != nil {
		return nil
	}
	var series string
	var from, to int64
	switch engine := shard.Engine(); {
	case engine == influx.B1 && len(keys) == 2 && len(keys[1]) == 8:
		series, from = keys[0], stamp(keys[1])
		to = from
	case engine == influx.BZ1 && len(keys) == 3 && keys[0] == "points" && len(keys[2]) == 8 && len(value) > 8:
		series, from, to = keys[1], stamp(keys[2]), stamp(string(value[:8]))
	default:
		return nil
	}
	lines := []string{"series  " + series}
	for p, err := range shard.Points(series, from, to) {
		switch {
		case ctx.Err() != nil:
			return nil
		case len(lines) > maxPoints:
			return append(lines, "and more")
		case err != nil:
			lines = append(lines, err.Error())
			continue
		}
		t := time.Unix(0, p.Time).UTC().Format(timeLayout)
		if engine := shard.Engine(); engine == influx.B1 {
			lines = append(lines, "time    "+t)
			for _, f := range p.Fields {
				lines = append(lines, fmt.Sprintf("%s = %s  (%s)", f.Field.Name, f.Value, f.Field.Type))
			}
			continue
		}
		var b strings.Builder
		for _, f := range p.Fields {
			fmt.Fprintf(&b, "  %s=%s", f.Field.Name, f.Value)
		}
		lines = append(lines, t+b.String())
	}
	if len(lines) == 1 {
		return nil
	}
	return lines
}

// shardKey returns the shard that a path in the directory of Bolt files lies in,
// and the keys from there on.
func shardKey(tree *space.Tree, name string) (*dataset.Shard, []string) {
	rest, ok := strings.CutPrefix(name, boltDir("")+"/")
	if !ok || tree.Data() == nil {
		return nil, nil
	}
	for _, sh := range tree.Data().Shards() {
		in, ok := strings.CutPrefix(rest, sh.Path+"/")
		if !ok {
			continue
		}
		var keys []string
		for elem := range strings.SplitSeq(in, "/") {
			key, ok := names.Decode(elem)
			if !ok {
				return nil, nil
			}
			keys = append(keys, string(key))
		}
		return sh, keys
	}
	return nil, nil
}

func stamp(key string) int64 { return int64(binary.BigEndian.Uint64([]byte(key))) }
