package serverdir

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/influx"
)

// Pruning says what metadata are to know in the end. A database or policy is
// kept if one of what it holds is, and so is one that holds nothing at all but
// has a name that is wanted. The highest numbers of shards stay, so that no
// number is given out again.
type Pruning struct {
	// Database and Policy say which are wanted, by name.
	Database func(name string) bool
	Policy   func(database, name string) bool
	// Shard says which shards are wanted. Nil stands for all: then groups
	// without shards stay too.
	Shard func(id uint64) bool
}

// Meta returns metadata of a final release that know what is wanted, and
// nothing else: of users the privileges for other databases go. If the default
// policy of a database goes, the first that is left becomes it. All else stays
// byte for byte. The error is an [*influx.MetaError].
func (p Pruning) Meta(meta []byte) ([]byte, error) {
	kept := map[string]bool{}
	out, err := edit("Data", meta, func(num protowire.Number, v []byte) ([]byte, bool, error) {
		if num != 5 {
			return v, true, nil
		}
		out, ok, err := p.database(v)
		kept[text(v, 1)] = kept[text(v, 1)] || ok
		return out, ok, err
	})
	if err != nil {
		return nil, err
	}
	return edit("Data", out, func(num protowire.Number, v []byte) ([]byte, bool, error) {
		if num != 6 {
			return v, true, nil
		}
		v, err := edit("Data.Users", v, func(num protowire.Number, v []byte) ([]byte, bool, error) {
			return v, num != 4 || kept[text(v, 1)], nil
		})
		return v, true, err
	})
}

func (p Pruning) database(msg []byte) ([]byte, bool, error) {
	name := text(msg, 1)
	if !p.Database(name) {
		return nil, false, nil
	}
	kept := map[string]bool{}
	first, had := "", false
	out, err := edit("Data.Databases", msg, func(num protowire.Number, v []byte) ([]byte, bool, error) {
		if num != 3 {
			return v, true, nil
		}
		had = true
		policy := text(v, 1)
		v, ok, err := p.policy(name, policy, v)
		if ok {
			if len(kept) == 0 {
				first = policy
			}
			kept[policy] = true
		}
		return v, ok, err
	})
	if err != nil || had && len(kept) == 0 {
		return nil, false, err
	}
	if def := text(msg, 2); def == "" || kept[def] || first == "" {
		return out, true, nil
	}
	out, err = edit("Data.Databases", out, func(num protowire.Number, v []byte) ([]byte, bool, error) {
		if num == 2 {
			v = []byte(first)
		}
		return v, true, nil
	})
	return out, true, err
}

func (p Pruning) policy(database, name string, msg []byte) ([]byte, bool, error) {
	if !p.Policy(database, name) {
		return nil, false, nil
	}
	if p.Shard == nil {
		return msg, true, nil
	}
	any := false
	out, err := edit("Data.Databases.RetentionPolicies", msg, func(num protowire.Number, v []byte) ([]byte, bool, error) {
		if num != 5 {
			return v, true, nil
		}
		kept := false
		v, err := edit("Data.Databases.RetentionPolicies.ShardGroups", v, func(num protowire.Number, v []byte) ([]byte, bool, error) {
			if num != 5 {
				return v, true, nil
			}
			wanted := p.Shard(varint(v, 1))
			kept = kept || wanted
			return v, wanted, nil
		})
		any = any || kept
		return v, kept, err
	})
	return out, any, err
}

// edit calls do for each field of a message that holds bytes: it returns the
// new bytes, and whether the field stays. Other fields are copied.
func edit(name string, msg []byte, do func(num protowire.Number, v []byte) ([]byte, bool, error)) ([]byte, error) {
	out := make([]byte, 0, len(msg))
	for at := 0; at < len(msg); {
		num, typ, n := protowire.ConsumeTag(msg[at:])
		k := n
		if n >= 0 {
			k = protowire.ConsumeFieldValue(num, typ, msg[at+n:])
		}
		if k < 0 {
			return nil, &influx.MetaError{Offset: int64(at), Object: name, Reason: fmt.Sprint(protowire.ParseError(k))}
		}
		raw := msg[at : at+n+k]
		at += n + k
		if typ != protowire.BytesType {
			out = append(out, raw...)
			continue
		}
		v, _ := protowire.ConsumeBytes(raw[n:])
		changed, keep, err := do(num, v)
		switch {
		case err != nil:
			return nil, err
		case !keep:
		case bytes.Equal(changed, v):
			out = append(out, raw...)
		default:
			out = protowire.AppendBytes(protowire.AppendTag(out, num, typ), changed)
		}
	}
	return out, nil
}
