package serverdir

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snapfs/snapfs/influx"
)

// nodeID is the number of the only node.
const nodeID = 1

// Types of the entries of a raft log.
const (
	logCommand = 0
	logAddPeer = 2
)

// Types of commands, see [command].
const (
	createNode = 1
	setData    = 17
)

// Release makes the data and the meta directory of a final release. addr is the
// address that the server takes for its own, host:port, see [Config.Address].
//
// The error matches [influx.ErrMeta] if the metadata are not those of a final
// release, and [fs.ErrNotExist] if there are none.
func (s Source) Release(addr string) (data, store fs.FS, err error) {
	l, err := s.list()
	if err != nil {
		return nil, nil, err
	}
	m, _, err := s.meta(l)
	if err != nil {
		return nil, nil, err
	}
	if m.Format != influx.MetaProtobuf {
		return nil, nil, &influx.MetaError{Object: "Data", Reason: "not the metadata of a final release"}
	}
	meta := s.Meta
	if meta == nil {
		if meta, err = fs.ReadFile(s.Tree, metaName); err != nil {
			return nil, nil, err
		}
	}
	log, err := raftLog(meta, addr)
	if err != nil {
		return nil, nil, err
	}
	peers, err := json.Marshal([]string{addr})
	if err != nil {
		return nil, nil, err
	}
	return newTree(s.Tree, l.time(), l.files...),
		newTree(nil, l.time(),
			made("id", fmt.Append(nil, nodeID)),
			made("peers.json", append(peers, '\n')),
			made("raft.db", log),
			file{path: "snapshots", mode: fs.ModeDir | 0o700}), nil
}

// raftLog makes the Bolt file raft.db: what the node has voted for, and its log.
func raftLog(meta []byte, addr string) ([]byte, error) {
	peer := appendText(appendArray(nil, 1), addr)
	host := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), addr)
	node := protowire.AppendVarint(protowire.AppendTag(host, 2, protowire.VarintType), chance(meta))
	data := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), meta)
	entries := []struct {
		kind uint8
		data []byte
	}{{logAddPeer, peer}, {logCommand, command(createNode, node)}, {logCommand, command(setData, data)}}

	return boltFile(
		func(tx *bolt.Tx) error {
			return putAll(tx, "conf",
				pair{[]byte("CurrentTerm"), number(1)},
				pair{[]byte("LastVoteTerm"), number(1)},
				pair{[]byte("LastVoteCand"), []byte(addr)})
		},
		func(tx *bolt.Tx) error {
			var log []pair
			for i, e := range entries {
				index := uint8(i + 1)
				log = append(log, pair{number(uint64(index)), entry(index, e.kind, e.data)})
			}
			return putAll(tx, "logs", log...)
		})
}

// entry encodes an entry of the log, of term 1.
func entry(index, kind uint8, data []byte) []byte {
	b := appendRaw(appendText(appendMap(nil, 4), "Data"), data)
	b = appendSmall(appendText(b, "Index"), index)
	b = appendSmall(appendText(b, "Term"), 1)
	return appendSmall(appendText(b, "Type"), kind)
}

// command encodes the message Command, whose arguments are an extension with
// the number of the command plus 100. The servers write it before the type.
func command(kind protowire.Number, args []byte) []byte {
	b := protowire.AppendBytes(protowire.AppendTag(nil, 100+kind, protowire.BytesType), args)
	return protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), uint64(kind))
}

// chance returns what takes the place of a random number: 63 bits that depend
// on the metadata, so that snapshots of two servers get two numbers.
func chance(meta []byte) uint64 {
	sum := sha256.Sum256(meta)
	return binary.BigEndian.Uint64(sum[:])>>1 | 1
}
