package serverdir

import (
	"encoding/json"
	"fmt"
	"io/fs"

	bolt "go.etcd.io/bbolt"

	"github.com/snapfs/snapfs/influx"
)

// Candidate makes the data directory of a release candidate and that of its
// broker. url is the address of the server, as http://host:port.
//
// The error matches [influx.ErrMeta] if the metadata are not those of a release
// candidate, and [fs.ErrNotExist] if there are none.
func (s Source) Candidate(url string) (data, broker fs.FS, err error) {
	l, err := s.list()
	if err != nil {
		return nil, nil, err
	}
	m, metaFile, err := s.meta(l)
	if err != nil {
		return nil, nil, err
	}
	if m.Format != influx.MetaBolt {
		return nil, nil, &influx.MetaError{Object: "Meta", Reason: "not the metadata of a release candidate"}
	}
	index := max(l.index, m.Index)
	store, err := boltFile(func(tx *bolt.Tx) error {
		return putAll(tx, "meta", pair{[]byte("index"), number(index)})
	})
	if err != nil {
		return nil, nil, err
	}
	type node struct {
		ID  uint64 `json:"id"`
		URL string `json:"url"`
	}
	config, err := json.Marshal(struct {
		ClusterID uint64 `json:"clusterID"`
		MaxNodeID uint64 `json:"maxNodeID"`
		Nodes     []node `json:"nodes"`
	}{chance(fmt.Appendf(nil, "%d %s", index, url)), nodeID, []node{{nodeID, url}}})
	if err != nil {
		return nil, nil, err
	}
	return newTree(s.Tree, l.time(), append(l.files, metaFile)...),
		newTree(nil, l.time(),
			made("meta", store),
			made("raft/config", append(config, '\n')),
			made("raft/id", fmt.Append(nil, nodeID)),
			made("raft/term", []byte("1"))), nil
}
