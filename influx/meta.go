package influx

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/snapfs/snapfs/boltview"
)

// MetaFormat is how metadata are encoded.
type MetaFormat string

// The formats of metadata.
const (
	MetaProtobuf MetaFormat = "protobuf" // the final releases
	MetaBolt     MetaFormat = "bolt"     // the release candidates
)

// Meta is what a server knew of its databases. What a format does not have is
// zero. Times are UTC.
type Meta struct {
	Format          MetaFormat `json:"format"`
	ClusterID       uint64     `json:"cluster_id"`
	Term            uint64     `json:"term"`  // of the raft log
	Index           uint64     `json:"index"` // of the raft log, or of the broker
	MaxNodeID       uint64     `json:"max_node_id"`
	MaxShardGroupID uint64     `json:"max_shard_group_id"`
	MaxShardID      uint64     `json:"max_shard_id"`
	Nodes           []Node     `json:"nodes"`
	Databases       []Database `json:"databases"`
	Users           []User     `json:"users"`
	// Unknown are the fields that the protobuf format of 0.9 does not have.
	Unknown []UnknownField `json:"unknown,omitempty"`

	shards map[uint64]place
	bolt   *boltview.DB // of the release candidates
	lazy   *lazyMeta
}

// lazyMeta is what was read from the file later.
type lazyMeta struct {
	sync.Mutex
	series map[string]*rcIndex // by database
}

// Node is a server of the cluster.
type Node struct {
	ID   uint64 `json:"id"`
	Host string `json:"host"` // host:port
}

// Database is a database, with its policies in the order of the file.
type Database struct {
	Name              string            `json:"name"`
	DefaultPolicy     string            `json:"default_policy"`
	Policies          []Policy          `json:"policies"`
	ContinuousQueries []ContinuousQuery `json:"continuous_queries"`
}

// Policy is a retention policy. Durations are nanoseconds in JSON.
type Policy struct {
	Name          string         `json:"name"`
	Duration      time.Duration  `json:"duration_ns"`       // how long points are kept; 0 is forever
	GroupDuration time.Duration  `json:"group_duration_ns"` // span of a shard group
	Replicas      uint32         `json:"replicas"`
	Groups        []Group        `json:"groups"`
	Subscriptions []Subscription `json:"subscriptions,omitempty"`
}

// Group is a shard group: the span of time from Start up to, but without, End.
type Group struct {
	ID        uint64       `json:"id"`
	Start     time.Time    `json:"start"`
	End       time.Time    `json:"end"`
	DeletedAt time.Time    `json:"deleted_at,omitzero"` // zero if the group is not deleted
	Shards    []GroupShard `json:"shards"`
}

// GroupShard is a shard as the metadata know it.
type GroupShard struct {
	ID     uint64   `json:"id"`
	Owners []uint64 `json:"owners"` // nodes
}

// Subscription is a place to which a server forwards what is written.
type Subscription struct {
	Name         string   `json:"name"`
	Mode         string   `json:"mode"`
	Destinations []string `json:"destinations"`
}

// ContinuousQuery is a query that a server runs again and again.
type ContinuousQuery struct {
	Name  string `json:"name"`
	Query string `json:"query"`
}

// UnknownField is a field of a protobuf message that 0.9 does not have.
type UnknownField struct {
	Message string `json:"message"` // for example "Data.Databases"
	Number  int32  `json:"number"`
	Offset  int64  `json:"offset"` // in the file
	Raw     []byte `json:"-"`      // tag and value
}

// Place is where a shard belongs.
type Place struct {
	Database *Database
	Policy   *Policy
	Group    *Group
}

// place is a Place as indexes.
type place struct{ db, policy, group int }

// OpenMeta reads the metadata of size bytes in r, in either format, which it
// tells from the content. It returns a [*MetaError] if they are no metadata or
// contradict themselves, and errors of package boltview.
//
// Of the protobuf format, all is read. Of the Bolt format, [Meta.Series] and
// [Meta.Measurements] read from r when they are used: r must stay open, and
// allow concurrent use.
func OpenMeta(r io.ReaderAt, size int64) (*Meta, error) {
	db, err := boltview.Open(r, size, boltview.Options{})
	var m *Meta
	switch {
	case err == nil:
		m, err = boltMeta(db)
	case errors.Is(err, boltview.ErrNotBolt):
		m, err = protobufMeta(r, size)
	default:
		err = fmt.Errorf("read metadata: %w", err)
	}
	if err != nil {
		return nil, err
	}
	m.index()
	return m, nil
}

// newMeta returns metadata whose lists are empty in JSON, not null.
func newMeta(f MetaFormat) *Meta {
	return &Meta{Format: f, Nodes: []Node{}, Databases: []Database{}, Users: []User{}, lazy: &lazyMeta{series: map[string]*rcIndex{}}}
}

// index remembers where each shard is. Of several with one id the first counts.
func (m *Meta) index() {
	m.shards = map[uint64]place{}
	for i := range m.Databases {
		for j := range m.Databases[i].Policies {
			for k, g := range m.Databases[i].Policies[j].Groups {
				for _, s := range g.Shards {
					if _, ok := m.shards[s.ID]; !ok {
						m.shards[s.ID] = place{i, j, k}
					}
				}
			}
		}
	}
}

// Empty reports whether the metadata know nothing at all. Servers wrote such
// metadata in backups that were taken right after a start; they say nothing
// about which shards there are.
func (m *Meta) Empty() bool {
	return m.Index == 0 && m.ClusterID == 0 && len(m.Nodes) == 0 && len(m.Databases) == 0 && len(m.Users) == 0
}

// Shard returns where the shard with an id belongs. ok is false if the metadata
// have no such shard. A group that is marked as deleted still has its shards.
func (m *Meta) Shard(id uint64) (p Place, ok bool) {
	at, ok := m.shards[id]
	if !ok {
		return Place{}, false
	}
	db := &m.Databases[at.db]
	return Place{db, &db.Policies[at.policy], &db.Policies[at.policy].Groups[at.group]}, true
}

// Database returns the database with a name, nil if there is none.
func (m *Meta) Database(name string) *Database {
	for i := range m.Databases {
		if m.Databases[i].Name == name {
			return &m.Databases[i]
		}
	}
	return nil
}
