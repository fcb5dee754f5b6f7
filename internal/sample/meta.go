package sample

import "time"

// Meta is the metadata of a server, as its raft store kept it.
type Meta struct {
	Databases []Database
	Users     []User
}

// User is an administrator, with the hash of a password.
type User struct{ Name, Hash string }

// Database is one database and its retention policies. The first policy is the
// default.
type Database struct {
	Name     string
	Policies []Policy
}

// Policy is one retention policy.
type Policy struct {
	Name          string
	Duration      time.Duration // 0 is forever
	GroupDuration time.Duration
	Groups        []Group
}

// Group is one shard group with its only shard. Both have the same id.
type Group struct {
	ID         uint64
	Start, End time.Time
}

// Bytes encodes the metadata as the protobuf message Data of the final
// releases.
func (m Meta) Bytes() []byte {
	const node = 1
	b := appendUint(nil, 1, 1)           // Term
	b = appendUint(b, 2, 42)             // Index
	b = appendUint(b, 3, 42424242424242) // ClusterID
	b = appendBytes(b, 4, string(appendBytes(appendUint(nil, 1, node), 2, "127.0.0.1:8088")))
	var last uint64
	for _, db := range m.Databases {
		d := appendBytes(nil, 1, db.Name)
		if len(db.Policies) > 0 {
			d = appendBytes(d, 2, db.Policies[0].Name)
		}
		for _, p := range db.Policies {
			d = appendBytes(d, 3, string(p.bytes(node)))
			for _, g := range p.Groups {
				last = max(last, g.ID)
			}
		}
		b = appendBytes(b, 5, string(d))
	}
	for _, u := range m.Users {
		b = appendBytes(b, 6, string(appendUint(appendBytes(appendBytes(nil, 1, u.Name), 2, u.Hash), 3, 1)))
	}
	b = appendUint(b, 7, node) // MaxNodeID
	b = appendUint(b, 8, last) // MaxShardGroupID
	return appendUint(b, 9, last)
}

func (p Policy) bytes(node uint64) []byte {
	b := appendBytes(nil, 1, p.Name)
	b = appendUint(b, 2, uint64(p.Duration))
	b = appendUint(b, 3, uint64(p.GroupDuration))
	b = appendUint(b, 4, 1) // ReplicaN
	for _, g := range p.Groups {
		s := appendUint(appendUint(nil, 1, g.ID), 2, node)
		e := appendUint(nil, 1, g.ID)
		e = appendUint(e, 2, uint64(g.Start.UnixNano()))
		e = appendUint(e, 3, uint64(g.End.UnixNano()))
		e = appendUint(e, 4, 0) // DeletedAt
		e = appendBytes(e, 5, string(s))
		b = appendBytes(b, 5, string(e))
	}
	return b
}
