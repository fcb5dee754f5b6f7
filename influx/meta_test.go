package influx_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/influx"
	"github.com/snapfs/snapfs/internal/sample"
)

func openMeta(t testing.TB, data []byte) *influx.Meta {
	t.Helper()
	m, err := influx.OpenMeta(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// emptyMeta is what a server wrote whose log was not yet read.
var emptyMeta = []byte{0x08, 0, 0x10, 0, 0x18, 0, 0x38, 0, 0x40, 0, 0x48, 0}

// pb builds a message: pairs of a field number and a uint64, int, string, or
// []byte of a message.
func pb(pairs ...any) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		num := protowire.Number(pairs[i].(int))
		switch v := pairs[i+1].(type) {
		case uint64:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
		}
	}
	return b
}

func fullMeta() []byte {
	day := int(24 * time.Hour)
	group := pb(1, 7, 2, -5*day, 3, -4*day, 4, 1446422400000000000, 5, pb(1, 70, 2, 1, 2, 300), 5, pb(1, 71, 3, pb(1, 2), 3, pb(1, 3)))
	packed := pb(1, 8, 2, 0, 3, day, 4, 0, 5, pb(1, 72, 2, []byte{1, 0xac, 2}))
	policy := pb(1, "raw", 2, 36*int(time.Hour), 3, int(time.Hour), 4, 2, 5, group, 5, packed,
		6, pb(1, "sub", 2, "ALL", 3, "udp://a:1", 3, "udp://b:2"))
	return pb(1, 3, 2, 99, 3, uint64(1)<<63, 4, pb(1, 1, 2, "a:8088"), 4, pb(1, 2, 2, "b:8088"),
		5, pb(1, "db/1", 2, "raw", 3, policy, 3, pb(1, "bare"), 4, pb(1, "cq", 2, "CREATE …")),
		5, pb(1, "empty"),
		6, pb(1, "boss", 2, "$2a$10$secret", 3, 1),
		6, pb(1, "peon", 2, "$2a$10$other", 3, 0, 4, pb(1, "db/1", 2, 3), 4, pb(1, "x", 2, 1), 4, pb(1, "y", 2, 9)),
		7, 2, 8, 8, 9, 72, 15, "from later")
}

func TestMetaProtobuf(t *testing.T) {
	m := openMeta(t, fullMeta())
	day := 24 * time.Hour
	epoch := time.Unix(0, 0).UTC()
	want := []influx.Database{
		{Name: "db/1", DefaultPolicy: "raw",
			Policies: []influx.Policy{
				{Name: "raw", Duration: 36 * time.Hour, GroupDuration: time.Hour, Replicas: 2,
					Groups: []influx.Group{
						{ID: 7, Start: epoch.Add(-5 * day), End: epoch.Add(-4 * day), DeletedAt: time.Date(2015, 11, 2, 0, 0, 0, 0, time.UTC),
							Shards: []influx.GroupShard{{70, []uint64{1, 300}}, {71, []uint64{2, 3}}}},
						{ID: 8, Start: epoch, End: epoch.Add(day), Shards: []influx.GroupShard{{72, []uint64{1, 300}}}},
					},
					Subscriptions: []influx.Subscription{{"sub", "ALL", []string{"udp://a:1", "udp://b:2"}}}},
				{Name: "bare", Groups: []influx.Group{}},
			},
			ContinuousQueries: []influx.ContinuousQuery{{"cq", "CREATE …"}}},
		{Name: "empty", Policies: []influx.Policy{}, ContinuousQueries: []influx.ContinuousQuery{}},
	}
	if !reflect.DeepEqual(m.Databases, want) {
		t.Errorf("got  %+v\nwant %+v", m.Databases, want)
	}
	if m.Term != 3 || m.Index != 99 || m.ClusterID != 1<<63 || m.MaxNodeID != 2 || m.MaxShardGroupID != 8 || m.MaxShardID != 72 {
		t.Errorf("numbers: %+v", m)
	}
	if want := []influx.Node{{1, "a:8088"}, {2, "b:8088"}}; !reflect.DeepEqual(m.Nodes, want) {
		t.Errorf("nodes %v", m.Nodes)
	}
	if len(m.Unknown) != 1 || m.Unknown[0].Number != 15 || !bytes.Equal(m.Unknown[0].Raw, pb(15, "from later")) ||
		m.Unknown[0].Offset != int64(len(fullMeta())-len(m.Unknown[0].Raw)) {
		t.Errorf("unknown %+v", m.Unknown)
	}
	if m.Empty() || m.Format != influx.MetaProtobuf {
		t.Errorf("empty %v, format %q", m.Empty(), m.Format)
	}

	p, ok := m.Shard(71)
	if !ok || p.Database.Name != "db/1" || p.Policy.Name != "raw" || p.Group.ID != 7 {
		t.Errorf("shard 71: %+v, %v", p, ok)
	}
	if _, ok := m.Shard(73); ok {
		t.Error("shard 73 is there")
	}
	if m.Database("empty") != &m.Databases[1] || m.Database("none") != nil {
		t.Error("Database does not find what is there")
	}
}

// TestHashes wants hashes of passwords nowhere unless asked for.
func TestHashes(t *testing.T) {
	m := openMeta(t, fullMeta())
	text := func(m *influx.Meta) string {
		j, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(j) + fmt.Sprintf("%v %+v %#v %s", m, m.Users, m.Users, m.Users[0].Hash)
	}
	if s := text(m); strings.Contains(s, "$2a$") || strings.Contains(s, "secret") || strings.Contains(s, `"hash"`) {
		t.Errorf("a hash shows: %s", s)
	}
	shown := m.WithHashes()
	if s := text(shown); strings.Count(s, "$2a$10$secret") < 3 || !strings.Contains(s, `"hash":"$2a$10$other"`) {
		t.Errorf("no hash shows: %s", s)
	}
	if s := text(m); strings.Contains(s, "$2a$") {
		t.Errorf("WithHashes changed what it was called on: %s", s)
	}
	if m.Users[1].Hash.Reveal() != "$2a$10$other" {
		t.Errorf("Reveal: %q", m.Users[1].Hash.Reveal())
	}
	if j, _ := json.Marshal(m.Users[1].Privileges); string(j) != `{"db/1":"ALL PRIVILEGES","x":"READ","y":"9"}` {
		t.Errorf("privileges %s", j)
	}
}

func TestMetaJSON(t *testing.T) {
	m := openMeta(t, emptyMeta)
	if !m.Empty() {
		t.Error("not empty")
	}
	j, err := json.Marshal(m)
	const want = `{"format":"protobuf","cluster_id":0,"term":0,"index":0,"max_node_id":0,"max_shard_group_id":0,"max_shard_id":0,"nodes":[],"databases":[],"users":[]}`
	if err != nil || string(j) != want {
		t.Errorf("%s, %v", j, err)
	}
	j, err = json.Marshal(openMeta(t, fullMeta()).Databases)
	if err != nil || strings.Contains(string(j), "null") || !strings.Contains(string(j), `"deleted_at":"2015-11-02T00:00:00Z"`) ||
		strings.Count(string(j), "deleted_at") != 1 || !strings.Contains(string(j), `"duration_ns":129600000000000`) {
		t.Errorf("%s, %v", j, err)
	}
}

func TestMetaBad(t *testing.T) {
	full := fullMeta()
	for _, tt := range []struct {
		name   string
		data   []byte
		offset int64
		reason string
	}{
		{"nothing", nil, 0, "required"},
		{"text", []byte("not metadata at all, but some text"), 0, ""},
		{"zeros", make([]byte, 64), 0, "tag"},
		{"cut", full[:len(full)-1], int64(len(full) - len(pb(15, "from later"))), "EOF"},
		{"no cluster id", pb(1, 1, 2, 2, 7, 1, 8, 1, 9, 1), 10, "field 3 is required"},
		{"term is bytes", append(pb(1, "x"), emptyMeta...), 0, "wire type"},
		{"database is a number", append(bytes.Clone(emptyMeta), pb(5, 1)...), 12, "wire type"},
		{"deep", append(bytes.Clone(emptyMeta), pb(5, pb(1, "d", 3, pb(5, pb(5, pb(1, "x")))))...), 23, "wire type"},
		{"database is cut", append(bytes.Clone(emptyMeta), pb(5, []byte{0x0a, 5, 'x'})...), 14, "EOF"},
	} {
		_, err := influx.OpenMeta(bytes.NewReader(tt.data), int64(len(tt.data)))
		var bad *influx.MetaError
		if !errors.As(err, &bad) || !errors.Is(err, influx.ErrMeta) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if bad.Offset != tt.offset || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%s: %v, want %q at %d", tt.name, err, tt.reason, tt.offset)
		}
	}
	// A file that ends before its size.
	if _, err := influx.OpenMeta(bytes.NewReader(full), int64(len(full)+1)); err == nil || errors.Is(err, influx.ErrMeta) {
		t.Errorf("short file: %v", err)
	}
	// Many messages in few bytes.
	many := bytes.Repeat(pb(5, ""), 1<<21)
	if _, err := influx.OpenMeta(bytes.NewReader(many), int64(len(many))); !errors.Is(err, influx.ErrMeta) || !strings.Contains(err.Error(), "messages") {
		t.Errorf("2 million messages: %v", err)
	}
	// A Bolt file of another kind.
	other := tree{"fields": tree{}, "series": tree{}, "wal": tree{}}.bytes(t)
	if _, err := influx.OpenMeta(bytes.NewReader(other), int64(len(other))); !errors.Is(err, influx.ErrMeta) {
		t.Errorf("shard: %v", err)
	}
}

func TestMetaSample(t *testing.T) {
	start := time.Date(2015, 11, 2, 0, 0, 0, 0, time.UTC)
	m := openMeta(t, sample.Meta{Databases: []sample.Database{{Name: "d", Policies: []sample.Policy{
		{Name: "p", Duration: time.Hour, GroupDuration: time.Minute, Groups: []sample.Group{{ID: 5, Start: start, End: start.Add(time.Minute)}}},
	}}}}.Bytes())
	want := []influx.Database{{Name: "d", DefaultPolicy: "p", ContinuousQueries: []influx.ContinuousQuery{}, Policies: []influx.Policy{
		{Name: "p", Duration: time.Hour, GroupDuration: time.Minute, Replicas: 1, Groups: []influx.Group{
			{ID: 5, Start: start, End: start.Add(time.Minute), Shards: []influx.GroupShard{{5, []uint64{1}}}}}},
	}}}
	if !reflect.DeepEqual(m.Databases, want) {
		t.Errorf("got  %+v\nwant %+v", m.Databases, want)
	}
}

func be(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }

// rcMeta is metadata of a release candidate.
func rcMeta() tree {
	return tree{
		"Meta":      tree{"id": be(1), "index": be(359), "shardID": be(4), "shardGroupID": be(3)},
		"DataNodes": tree{be(1): `{"ID":1,"URL":{"Scheme":"http","User":null,"Host":"127.0.0.1:8086"},"OfflineUntil":"0001-01-01T00:00:00Z"}`},
		"Databases": tree{"grid": tree{
			"meta": `{"name":"grid","defaultRetentionPolicy":"raw","policies":[{"name":"raw","replicaN":1,"duration":3600000000000,"shardGroupDuration":60000000000,` +
				`"shardGroups":[{"id":3,"startTime":"2015-05-03T00:00:00Z","endTime":"2015-05-03T00:01:00+01:00","shards":[{"id":4,"nodeIDs":[1]}]}]}],` +
				`"continuousQueries":[{"query":"CREATE CONTINUOUS QUERY v_mean ON grid BEGIN SELECT 1 END"},{"query":"CREATE CONTINUOUS QUERY \"a \\\" ON b\" ON grid BEGIN"}]}`,
			"Measurements": tree{"li,ne": `{"name":"li,ne","fields":[{"id":2,"name":"volt","type":"float"},{"id":1,"name":"n","type":"integer"},{"id":3,"name":"ok","type":"boolean"},{"id":4,"name":"txt","type":"string"}]}`},
			"Series":       tree{"li,ne": tree{be(1): `{"ID":1,"Tags":{"b":"v=1, w","a":"x"}}`, be(2): `{"ID":2,"Tags":{}}`}},
			"TagBytesToID": tree{},
		}},
		"Users": tree{"boss": `{"name":"boss","hash":"$2a$x","admin":true}`, "peon": `{"name":"peon","hash":"$2a$y","privileges":{"grid":1}}`},
	}
}

func TestMetaBolt(t *testing.T) {
	m := openMeta(t, rcMeta().bytes(t))
	start := time.Date(2015, 5, 3, 0, 0, 0, 0, time.UTC)
	want := []influx.Database{{Name: "grid", DefaultPolicy: "raw", Policies: []influx.Policy{
		{Name: "raw", Duration: time.Hour, GroupDuration: time.Minute, Replicas: 1, Groups: []influx.Group{
			{ID: 3, Start: start, End: start.Add(time.Minute - time.Hour), Shards: []influx.GroupShard{{4, []uint64{1}}}}}},
	}, ContinuousQueries: []influx.ContinuousQuery{
		{"v_mean", "CREATE CONTINUOUS QUERY v_mean ON grid BEGIN SELECT 1 END"}, {`a " ON b`, `CREATE CONTINUOUS QUERY "a \" ON b" ON grid BEGIN`}}}}
	if !reflect.DeepEqual(m.Databases, want) {
		t.Errorf("got  %+v\nwant %+v", m.Databases, want)
	}
	if m.Format != influx.MetaBolt || m.Index != 359 || m.MaxShardID != 4 || m.MaxShardGroupID != 3 || m.MaxNodeID != 1 ||
		!reflect.DeepEqual(m.Nodes, []influx.Node{{1, "127.0.0.1:8086"}}) || m.Empty() {
		t.Errorf("%+v", m)
	}
	if len(m.Users) != 2 || !m.Users[0].Admin || m.Users[1].Admin || m.Users[1].Privileges["grid"] != influx.PrivilegeRead || m.Users[1].Hash.Reveal() != "$2a$y" {
		t.Errorf("users %+v", m.Users)
	}
	if p, ok := m.Shard(4); !ok || p.Database.Name != "grid" || p.Group.ID != 3 {
		t.Errorf("shard 4: %v, %v", p, ok)
	}
	var got []string
	for ms, err := range m.Measurements("grid") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ms.Name)
		for _, f := range ms.Fields {
			got = append(got, fmt.Sprint(f.ID, f.Name, f.Type))
		}
	}
	for s, err := range m.Series("grid") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(s.ID, s.Key, s.Tags))
	}
	list := []string{"li,ne", "1 n integer", "3 ok boolean", "4 txt string", "2 volt float", `1 li\,ne,a=x,b=v\=1\,\ w [{a x} {b v=1, w}]`, `2 li\,ne []`}
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], " ", "")
	}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], " ", "")
	}
	if !reflect.DeepEqual(got, list) {
		t.Errorf("got  %q\nwant %q", got, list)
	}
	for range m.Measurements("none") {
		t.Error("a measurement of no database")
	}
	for range openMeta(t, emptyMeta).Series("grid") {
		t.Error("a series of no file")
	}
}
func FuzzMeta(f *testing.F) {
	f.Add(fullMeta())
	f.Add(emptyMeta)
	f.Add(rcMeta().bytes(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := influx.OpenMeta(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if _, err := json.Marshal(m); err != nil {
			t.Errorf("marshal: %v", err)
		}
		for i := range m.Databases {
			n := 0
			for _, err := range m.Series(m.Databases[i].Name) {
				if n++; err != nil || n > 1000 {
					break
				}
			}
		}
	})
}
