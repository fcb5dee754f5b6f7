package export

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/snapfs/snapfs/dataset"
	"github.com/snapfs/snapfs/internal/durable"
	"github.com/snapfs/snapfs/internal/hint"
)

// checkpoint is what the file of Options.Checkpoint holds, as JSON.
type checkpoint struct {
	Version int `json:"version"` // 1
	// Export identifies data, options and target: a hash.
	Export string `json:"export"`
	// Database, Policy and Key name the last series that is complete; Series is
	// Key for people, since JSON cannot have all bytes.
	Database []byte `json:"database,omitempty"`
	Policy   []byte `json:"policy,omitempty"`
	Key      []byte `json:"key,omitempty"`
	Series   string `json:"series,omitempty"`
	Begun    bool   `json:"begun"` // there is such a series
	Done     bool   `json:"done"`  // all are complete
	// Part is the number of the file that is written to, from 1, and Size how
	// many bytes of it are good, Length what that was before compression.
	Part   int    `json:"part,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Length int64  `json:"length,omitempty"`
	Report Report `json:"report"`
	// Errors are those of the report.
	Errors []string `json:"errors,omitempty"`
}

func (c *checkpoint) position() *position {
	if !c.Begun {
		return nil
	}
	return &position{string(c.Database), string(c.Policy), string(c.Key)}
}

func (c *checkpoint) set(p position) {
	c.Begun = true
	c.Database, c.Policy, c.Key = []byte(p.Database), []byte(p.Policy), []byte(p.Key)
	c.Series = fmt.Sprintf("%q.%q %q", p.Database, p.Policy, p.Key)
}

// report returns the report of the runs before.
func (c *checkpoint) report() Report {
	r := c.Report
	r.Resumed = true
	for _, text := range c.Errors {
		r.Errors = append(r.Errors, errors.New(text))
	}
	return r
}

// identity returns a hash of all that decides what is written, besides target.
func identity(set *dataset.Set, o *Options, target any) (string, error) {
	type shard struct {
		Path, Layer, Ghost string
		Size               int64
	}
	var shards []shard
	for _, sh := range set.Shards() {
		if o.Filter.MatchShard(sh) {
			shards = append(shards, shard{sh.Path, sh.Layer, sh.Ghost, sh.Size})
		}
	}
	b, err := json.Marshal([]any{o.Source, shards, o.Filter, o.Format, o.Precision, o.NonFinite, o.LinesOnly, o.KeepDurations, o.Databases, o.Policies, target})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// loadCheckpoint returns the checkpoint in a file, a new one if there is none.
func loadCheckpoint(path, id string) (*checkpoint, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &checkpoint{Version: 1, Export: id}, nil
	}
	if err != nil {
		return nil, err
	}
	c := &checkpoint{}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrCheckpoint, err)
	}
	if c.Version != 1 || c.Export != id || c.Part < 0 || c.Size < 0 || c.Length < 0 {
		return nil, hint.Wrap(fmt.Errorf("%s: %w", path, ErrCheckpoint), "repeat the command with the options that it had, or name another file")
	}
	return c, nil
}

// keep takes the report of what is done.
func (c *checkpoint) keep(r *Report) {
	c.Report, c.Errors = r.clone(), nil
	for _, err := range r.Errors {
		c.Errors = append(c.Errors, err.Error())
	}
}

// save replaces the file.
func (c *checkpoint) save(path string) (err error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return durable.Replace(f.Name(), path)
}
