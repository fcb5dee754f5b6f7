package influx

import (
	"fmt"
	"io"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxMeta bounds the metadata that are read, in bytes. A shard group takes
	// about 50: a server of many years has less than 1 MiB.
	maxMeta = 64 << 20

	// maxMessages bounds the messages in them, as each takes more memory than
	// it has bytes in the file.
	maxMessages = 1 << 20
)

// protobufMeta reads the message Data of the final releases, field by field:
// the messages are few and frozen, and so no generated code is needed, errors
// have an offset, and fields of other releases can be kept.
func protobufMeta(r io.ReaderAt, size int64) (*Meta, error) {
	if size > maxMeta {
		return nil, &MetaError{0, "Data", fmt.Sprintf("%d bytes are more than metadata can have", size)}
	}
	b := make([]byte, size)
	if n, err := r.ReadAt(b, 0); n < len(b) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	p := &pbReader{meta: newMeta(MetaProtobuf)}
	if err := p.data(message{b: b, name: "Data"}); err != nil {
		return nil, err
	}
	return p.meta, nil
}

// pbReader decodes messages, in a bounded number.
type pbReader struct {
	meta     *Meta
	messages int
}

// count is called for each thing that takes memory.
func (p *pbReader) count(m message, x field) error {
	if p.messages++; p.messages > maxMessages {
		return m.errorf(x.off, "more than %d messages", maxMessages)
	}
	return nil
}

// sub returns the message in a field.
func (p *pbReader) sub(m message, x field, name string) (message, error) {
	b, err := m.bytes(x)
	if err != nil {
		return message{}, err
	}
	return message{b: b, off: x.bat, name: m.name + "." + name}, p.count(m, x)
}

// unknown keeps a field that no release of 0.9 has.
func (p *pbReader) unknown(m message, x field) error {
	if err := p.count(m, x); err != nil {
		return err
	}
	p.meta.Unknown = append(p.meta.Unknown, UnknownField{m.name, int32(x.num), x.off, slices.Clone(x.raw)})
	return nil
}

func (p *pbReader) data(m message) error {
	seen := 0
	numbers := map[protowire.Number]*uint64{
		1: &p.meta.Term, 2: &p.meta.Index, 3: &p.meta.ClusterID,
		7: &p.meta.MaxNodeID, 8: &p.meta.MaxShardGroupID, 9: &p.meta.MaxShardID,
	}
	err := m.fields(func(x field) error {
		if dst := numbers[x.num]; dst != nil {
			seen |= 1 << x.num
			return m.uint(x, dst)
		}
		switch x.num {
		case 4:
			return add(p, m, x, "Nodes", &p.meta.Nodes, p.node)
		case 5:
			return add(p, m, x, "Databases", &p.meta.Databases, p.database)
		case 6:
			return add(p, m, x, "Users", &p.meta.Users, p.user)
		}
		return p.unknown(m, x)
	})
	if err != nil {
		return err
	}
	for _, num := range []protowire.Number{1, 2, 3, 7, 8, 9} {
		// All releases write them, so that without them it is another file.
		if seen&(1<<num) == 0 {
			return m.errorf(int64(len(m.b)), "field %d is required, and not there", num)
		}
	}
	return nil
}

// add decodes the message in a field and appends it to list.
func add[T any](p *pbReader, m message, x field, name string, list *[]T, decode func(message, *T) error) error {
	sub, err := p.sub(m, x, name)
	if err != nil {
		return err
	}
	var v T
	if err := decode(sub, &v); err != nil {
		return err
	}
	*list = append(*list, v)
	return nil
}

func (p *pbReader) node(m message, n *Node) error {
	return m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.uint(x, &n.ID)
		case 2:
			return m.string(x, &n.Host)
		}
		return p.unknown(m, x)
	})
}

func (p *pbReader) database(m message, d *Database) error {
	d.Policies, d.ContinuousQueries = []Policy{}, []ContinuousQuery{}
	return m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.string(x, &d.Name)
		case 2:
			return m.string(x, &d.DefaultPolicy)
		case 3:
			return add(p, m, x, "RetentionPolicies", &d.Policies, p.policy)
		case 4:
			return add(p, m, x, "ContinuousQueries", &d.ContinuousQueries, p.query)
		}
		return p.unknown(m, x)
	})
}

func (p *pbReader) policy(m message, rp *Policy) error {
	rp.Groups = []Group{}
	return m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.string(x, &rp.Name)
		case 2:
			return m.duration(x, &rp.Duration)
		case 3:
			return m.duration(x, &rp.GroupDuration)
		case 4:
			var v uint64
			err := m.uint(x, &v)
			rp.Replicas = uint32(min(v, math.MaxUint32))
			return err
		case 5:
			return add(p, m, x, "ShardGroups", &rp.Groups, p.group)
		case 6:
			return add(p, m, x, "Subscriptions", &rp.Subscriptions, p.subscription)
		}
		return p.unknown(m, x)
	})
}

func (p *pbReader) group(m message, g *Group) error {
	g.Shards = []GroupShard{}
	return m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.uint(x, &g.ID)
		case 2:
			return m.time(x, &g.Start)
		case 3:
			return m.time(x, &g.End)
		case 4:
			// Zero is written for a group that is not deleted.
			if x.typ == protowire.VarintType && x.v == 0 {
				return nil
			}
			return m.time(x, &g.DeletedAt)
		case 5:
			return add(p, m, x, "Shards", &g.Shards, p.shard)
		}
		return p.unknown(m, x)
	})
}

func (p *pbReader) shard(m message, s *GroupShard) error {
	s.Owners = []uint64{}
	var ids []uint64 // of the field that 0.9.2 wrote, and later releases left empty
	err := m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.uint(x, &s.ID)
		case 2:
			return p.ids(m, x, &ids)
		case 3:
			return add(p, m, x, "Owners", &s.Owners, p.owner)
		}
		return p.unknown(m, x)
	})
	if len(s.Owners) == 0 {
		s.Owners = append(s.Owners, ids...)
	}
	return err
}

// ids appends one number, or several that are packed, as any reader of protobuf
// must take either.
func (p *pbReader) ids(m message, x field, dst *[]uint64) error {
	packed := x.b
	if x.typ != protowire.BytesType {
		var v uint64
		if err := m.uint(x, &v); err != nil {
			return err
		}
		packed = protowire.AppendVarint(nil, v)
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return m.errorf(x.off, "field %d: %v", x.num, protowire.ParseError(n))
		}
		if err := p.count(m, x); err != nil {
			return err
		}
		*dst = append(*dst, v)
		packed = packed[n:]
	}
	return nil
}

func (p *pbReader) owner(m message, id *uint64) error {
	return m.fields(func(x field) error {
		if x.num == 1 {
			return m.uint(x, id)
		}
		return p.unknown(m, x)
	})
}

func (p *pbReader) subscription(m message, s *Subscription) error {
	s.Destinations = []string{}
	return m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.string(x, &s.Name)
		case 2:
			return m.string(x, &s.Mode)
		case 3:
			var d string
			if err := m.string(x, &d); err != nil {
				return err
			}
			s.Destinations = append(s.Destinations, d)
			return p.count(m, x)
		}
		return p.unknown(m, x)
	})
}

func (p *pbReader) query(m message, q *ContinuousQuery) error {
	return m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.string(x, &q.Name)
		case 2:
			return m.string(x, &q.Query)
		}
		return p.unknown(m, x)
	})
}

func (p *pbReader) user(m message, u *User) error {
	u.Privileges = map[string]Privilege{}
	return m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.string(x, &u.Name)
		case 2:
			return m.string(x, &u.Hash.text)
		case 3:
			var v uint64
			err := m.uint(x, &v)
			u.Admin = v != 0
			return err
		case 4:
			sub, err := p.sub(m, x, "Privileges")
			if err != nil {
				return err
			}
			return p.privilege(sub, u)
		}
		return p.unknown(m, x)
	})
}

func (p *pbReader) privilege(m message, u *User) error {
	var db string
	var priv uint64
	err := m.fields(func(x field) error {
		switch x.num {
		case 1:
			return m.string(x, &db)
		case 2:
			return m.uint(x, &priv)
		}
		return p.unknown(m, x)
	})
	if err == nil {
		u.Privileges[db] = Privilege(priv)
	}
	return err
}
