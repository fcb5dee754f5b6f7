package space

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/snapfs/snapfs/boltview"
	"github.com/snapfs/snapfs/internal/attr"
)

// maps keeps one map of each tar, for all Bolt files in it.
type maps struct {
	mu   sync.Mutex
	maps map[*os.File]*boltview.Mapping // nil if the file cannot be mapped
}

// reader returns what is best to read the content of an open file from, size
// bytes: a map of the file that the content is a part of, or else r.
func (m *maps) reader(r io.ReaderAt, size int64) io.ReaderAt {
	e, ok := r.(attr.Extent)
	if !ok {
		return r
	}
	f, off, ok := e.Extent()
	if !ok {
		return r
	}
	if mapping := m.of(f); mapping != nil && off <= mapping.Size()-size {
		return io.NewSectionReader(mapping, off, size)
	}
	return r
}

// of returns the map of a file, nil if it cannot be had.
func (m *maps) of(f *os.File) *boltview.Mapping {
	m.mu.Lock()
	defer m.mu.Unlock()
	mapping, ok := m.maps[f]
	if !ok {
		if m.maps == nil {
			m.maps = map[*os.File]*boltview.Mapping{}
		}
		mapping, _ = boltview.Map(f) // reading works without as well, only slower
		m.maps[f] = mapping
	}
	return mapping
}

func (m *maps) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, mapping := range m.maps {
		if mapping != nil {
			errs = append(errs, mapping.Close())
		}
	}
	m.maps = nil
	return errors.Join(errs...)
}
