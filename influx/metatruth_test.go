package influx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapfs/snapfs/influx"
)

// truthMeta is Data as InfluxDB's own code marshals it.
type truthMeta struct {
	Term, Index, ClusterID uint64
	Nodes                  []struct {
		ID   uint64
		Host string
	}
	Databases []struct {
		Name, DefaultRetentionPolicy string
		RetentionPolicies            []struct {
			Name                         string
			ReplicaN                     uint32
			Duration, ShardGroupDuration time.Duration
			ShardGroups                  []struct {
				ID                            uint64
				StartTime, EndTime, DeletedAt time.Time
				Shards                        []struct {
					ID       uint64
					OwnerIDs []uint64
					Owners   []struct{ NodeID uint64 }
				}
			}
			Subscriptions []struct {
				Name, Mode   string
				Destinations []string
			}
		}
		ContinuousQueries []struct{ Name, Query string }
	}
	Users []struct {
		Name, Hash string
		Admin      bool
		Privileges map[string]influx.Privilege
	}
	MaxNodeID, MaxShardGroupID, MaxShardID uint64
}

// meta returns what OpenMeta should make of it, and the hashes.
func (m truthMeta) meta() (influx.Meta, []string) {
	out := influx.Meta{Format: influx.MetaProtobuf, ClusterID: m.ClusterID, Term: m.Term, Index: m.Index,
		MaxNodeID: m.MaxNodeID, MaxShardGroupID: m.MaxShardGroupID, MaxShardID: m.MaxShardID}
	for _, n := range m.Nodes {
		out.Nodes = append(out.Nodes, influx.Node{ID: n.ID, Host: n.Host})
	}
	for _, d := range m.Databases {
		od := influx.Database{Name: d.Name, DefaultPolicy: d.DefaultRetentionPolicy}
		for _, p := range d.RetentionPolicies {
			op := influx.Policy{Name: p.Name, Duration: p.Duration, GroupDuration: p.ShardGroupDuration, Replicas: p.ReplicaN}
			for _, g := range p.ShardGroups {
				og := influx.Group{ID: g.ID, Start: g.StartTime, End: g.EndTime, DeletedAt: g.DeletedAt}
				for _, s := range g.Shards {
					os := influx.GroupShard{ID: s.ID, Owners: s.OwnerIDs}
					for _, o := range s.Owners {
						os.Owners = append(os.Owners, o.NodeID)
					}
					og.Shards = append(og.Shards, os)
				}
				op.Groups = append(op.Groups, og)
			}
			for _, s := range p.Subscriptions {
				op.Subscriptions = append(op.Subscriptions, influx.Subscription(s))
			}
			od.Policies = append(od.Policies, op)
		}
		for _, q := range d.ContinuousQueries {
			od.ContinuousQueries = append(od.ContinuousQueries, influx.ContinuousQuery(q))
		}
		out.Databases = append(out.Databases, od)
	}
	var hashes []string
	for _, u := range m.Users {
		out.Users = append(out.Users, influx.User{Name: u.Name, Admin: u.Admin, Privileges: u.Privileges})
		hashes = append(hashes, u.Hash)
	}
	return out, hashes
}

// TestMetaTruth compares with what InfluxDB's own code reads.
func TestMetaTruth(t *testing.T) {
	for chain, tars := range layers(t) {
		n := 0
		for _, tar := range tars {
			truth, err := os.ReadFile(filepath.Join(filepath.Dir(tar), "truth", "meta", filepath.Base(tar)+".json"))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			var tm truthMeta
			if err := json.Unmarshal(truth, &tm); err != nil {
				t.Fatal(err)
			}
			want, hashes := tm.meta()
			found := false
			for name, data := range members(t, tar) {
				if name != "meta" {
					continue
				}
				found = true
				got := openMeta(t, data)
				for i, u := range got.Users {
					if u.Hash.Reveal() != hashes[i] {
						t.Errorf("%s: hash of %q differs", tar, u.Name)
					}
				}
				if len(got.Unknown) > 0 {
					t.Errorf("%s: unknown fields %v", tar, got.Unknown)
				}
				g, err := json.Marshal(got)
				if err != nil {
					t.Fatal(err)
				}
				w, err := json.Marshal(want)
				if err != nil {
					t.Fatal(err)
				}
				// Lists that are empty are null in one, [] in the other.
				if g, w := bytes.ReplaceAll(g, []byte("[]"), []byte("null")), bytes.ReplaceAll(w, []byte("[]"), []byte("null")); !bytes.Equal(g, w) {
					t.Errorf("%s:\ngot  %s\nwant %s", tar, g, w)
				}
				n++
			}
			if !found {
				t.Errorf("%s has no meta", tar)
			}
		}
		t.Logf("%s: %d metas equal", chain, n)
	}
}
