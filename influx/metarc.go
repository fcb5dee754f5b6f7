package influx

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/snapfs/snapfs/boltview"
)

// maxJSON bounds a JSON value of the metadata in bytes: they are decoded in one
// piece. A database with 10,000 shard groups has about 1.5 MiB.
const maxJSON = 8 << 20

// boltMeta reads the metadata of a release candidate: bucket Meta with
// numbers, DataNodes, Databases and Users with JSON.
func boltMeta(db *boltview.DB) (*Meta, error) {
	m := newMeta(MetaBolt)
	m.bolt = db
	root := db.Root()
	numbers, err := root.Bucket([]byte("Meta"))
	if errors.Is(err, boltview.ErrNotFound) {
		return nil, &MetaError{0, "Meta", "no such bucket: another kind of Bolt file"}
	}
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	for _, n := range []struct {
		key string
		dst *uint64
	}{{"index", &m.Index}, {"shardID", &m.MaxShardID}, {"shardGroupID", &m.MaxShardGroupID}} {
		if err := number(numbers, n.key, n.dst); err != nil {
			return nil, err
		}
	}
	for _, list := range []struct {
		bucket string
		add    func(*Meta, boltview.Item) error
	}{{"DataNodes", rcNode}, {"Databases", rcDatabase}, {"Users", rcUser}} {
		for it, err := range items(root, list.bucket) {
			if err == nil {
				err = list.add(m, it)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// number reads 8 bytes; a key that is not there is 0.
func number(b *boltview.Bucket, key string, dst *uint64) error {
	it, err := b.Item([]byte(key))
	if errors.Is(err, boltview.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	if it.IsBucket() || it.Size() != 8 {
		return &MetaError{it.Offset(), "Meta/" + key, fmt.Sprintf("%d bytes, not a number", it.Size())}
	}
	v, err := it.Value()
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	*dst = binary.BigEndian.Uint64(v)
	return nil
}

// items returns the items of a bucket, none if it is not there. A loop can go on
// after an error.
func items(b *boltview.Bucket, name string) iter.Seq2[boltview.Item, error] {
	return func(yield func(boltview.Item, error) bool) {
		sub, err := b.Bucket([]byte(name))
		if errors.Is(err, boltview.ErrNotFound) {
			return
		}
		if err != nil {
			yield(boltview.Item{}, fmt.Errorf("read metadata: %w", err))
			return
		}
		for it, err := range sub.All() {
			if err != nil {
				err = fmt.Errorf("read metadata: %w", err)
			}
			if !yield(it, err) {
				return
			}
		}
	}
}

// decodeJSON decodes the value of an item.
func decodeJSON(it boltview.Item, object string, v any) error {
	if it.IsBucket() || it.Size() > maxJSON {
		return &MetaError{it.Offset(), object, "a bucket or too long, not JSON"}
	}
	b, err := it.Value()
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &MetaError{it.Offset(), object, err.Error()}
	}
	return nil
}

func rcNode(m *Meta, it boltview.Item) error {
	var n struct {
		ID  uint64
		URL struct{ Host string }
	}
	if err := decodeJSON(it, "DataNodes/"+string(it.Key), &n); err != nil {
		return err
	}
	m.Nodes = append(m.Nodes, Node{n.ID, n.URL.Host})
	m.MaxNodeID = max(m.MaxNodeID, n.ID)
	return nil
}

func rcUser(m *Meta, it boltview.Item) error {
	var u struct {
		Name       string               `json:"name"`
		Hash       string               `json:"hash"`
		Privileges map[string]Privilege `json:"privileges"`
		Admin      bool                 `json:"admin"`
	}
	if err := decodeJSON(it, "Users/"+string(it.Key), &u); err != nil {
		return err
	}
	if u.Privileges == nil {
		u.Privileges = map[string]Privilege{}
	}
	m.Users = append(m.Users, User{Name: u.Name, Admin: u.Admin, Privileges: u.Privileges, Hash: Hash{text: u.Hash}})
	return nil
}

// rcPolicy is a retention policy in JSON; durations are nanoseconds.
type rcPolicy struct {
	Name               string        `json:"name"`
	ReplicaN           uint32        `json:"replicaN"`
	Duration           time.Duration `json:"duration"`
	ShardGroupDuration time.Duration `json:"shardGroupDuration"`
	ShardGroups        []struct {
		ID        uint64    `json:"id"`
		StartTime time.Time `json:"startTime"`
		EndTime   time.Time `json:"endTime"`
		Shards    []struct {
			ID      uint64   `json:"id"`
			NodeIDs []uint64 `json:"nodeIDs"`
		} `json:"shards"`
	} `json:"shardGroups"`
}

func rcDatabase(m *Meta, it boltview.Item) error {
	object := "Databases/" + string(it.Key)
	b, err := it.Bucket()
	if errors.Is(err, boltview.ErrNotBucket) {
		return &MetaError{it.Offset(), object, "not a bucket"}
	}
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	j, err := b.Item([]byte("meta"))
	if errors.Is(err, boltview.ErrNotFound) {
		return &MetaError{it.Offset(), object, "has no key meta"}
	}
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	var d struct {
		Name                   string     `json:"name"`
		DefaultRetentionPolicy string     `json:"defaultRetentionPolicy"`
		Policies               []rcPolicy `json:"policies"`
		ContinuousQueries      []struct {
			Query string `json:"query"`
		} `json:"continuousQueries"`
	}
	if err := decodeJSON(j, object+"/meta", &d); err != nil {
		return err
	}
	// The key is the name that shards and buckets go by.
	db := Database{Name: string(it.Key), DefaultPolicy: d.DefaultRetentionPolicy, Policies: []Policy{}, ContinuousQueries: []ContinuousQuery{}}
	for _, p := range d.Policies {
		db.Policies = append(db.Policies, p.policy())
	}
	for _, q := range d.ContinuousQueries {
		db.ContinuousQueries = append(db.ContinuousQueries, ContinuousQuery{queryName(q.Query), q.Query})
	}
	m.Databases = append(m.Databases, db)
	return nil
}

func (p rcPolicy) policy() Policy {
	out := Policy{Name: p.Name, Duration: p.Duration, GroupDuration: p.ShardGroupDuration, Replicas: p.ReplicaN, Groups: []Group{}}
	for _, g := range p.ShardGroups {
		og := Group{ID: g.ID, Start: g.StartTime.UTC(), End: g.EndTime.UTC(), Shards: []GroupShard{}}
		for _, s := range g.Shards {
			og.Shards = append(og.Shards, GroupShard{s.ID, append([]uint64{}, s.NodeIDs...)})
		}
		out.Groups = append(out.Groups, og)
	}
	return out
}

// queryName returns the name in the text of a continuous query, which servers
// store in one form: CREATE CONTINUOUS QUERY name ON …
func queryName(text string) string {
	name, ok := strings.CutPrefix(text, "CREATE CONTINUOUS QUERY ")
	if !ok {
		return ""
	}
	if quoted, ok := strings.CutPrefix(name, `"`); ok {
		var b []byte
		for i := 0; i < len(quoted) && quoted[i] != '"'; i++ {
			if quoted[i] == '\\' && i+1 < len(quoted) {
				i++
			}
			b = append(b, quoted[i])
		}
		return string(b)
	}
	name, _, _ = strings.Cut(name, " ON ")
	return name
}
