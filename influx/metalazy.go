package influx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/snapfs/snapfs/boltview"
)

// Measurement is a measurement with the fields that are defined for it.
type Measurement struct {
	Name   string  `json:"name"`
	Fields []Field `json:"fields"` // by name
}

// Measurements returns the measurements of a database with their fields, in the
// order of names. Only the metadata of the release candidates have them; it
// reads them from the file. A loop can go on after an error.
func (m *Meta) Measurements(database string) iter.Seq2[Measurement, error] {
	return func(yield func(Measurement, error) bool) {
		db, err := m.database(database)
		if err != nil {
			yield(Measurement{}, err)
		}
		if db == nil {
			return
		}
		for it, err := range items(db, "Measurements") {
			var ms Measurement
			if err == nil {
				ms.Name = string(it.Key)
				ms.Fields, err = rcFields(it)
			}
			if !yield(ms, err) {
				return
			}
		}
	}
}

// Series returns the series of a database, in the order of measurements and
// numbers. Only the metadata of the release candidates have them; it reads them
// from the file. A loop can go on after an error.
func (m *Meta) Series(database string) iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		db, err := m.database(database)
		if err != nil {
			yield(Series{}, err)
		}
		if db == nil {
			return
		}
		for it, err := range items(db, "Series") {
			var b *boltview.Bucket
			if err == nil {
				if b, err = it.Bucket(); errors.Is(err, boltview.ErrNotBucket) {
					err = &MetaError{it.Offset(), fmt.Sprintf("Series/%q", it.Key), "not a bucket"}
				}
			}
			if err != nil {
				if !yield(Series{}, err) {
					return
				}
				continue
			}
			measurement := string(it.Key)
			for it, err := range b.All() {
				var s Series
				if err == nil {
					s, err = rcSeries(measurement, it)
				}
				if !yield(s, err) {
					return
				}
			}
		}
	}
}

// database returns the bucket of a database, nil if there is none.
func (m *Meta) database(name string) (*boltview.Bucket, error) {
	if m.bolt == nil {
		return nil, nil
	}
	b, err := m.bolt.Root().Bucket([]byte("Databases"))
	if err == nil {
		b, err = b.Bucket([]byte(name))
	}
	if errors.Is(err, boltview.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read metadata of database %q: %w", name, err)
	}
	return b, nil
}

// rcFields decodes the definition of a measurement.
func rcFields(it boltview.Item) ([]Field, error) {
	var d struct {
		Fields []struct {
			ID   uint8  `json:"id"`
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"fields"`
	}
	if err := decodeJSON(it, fmt.Sprintf("Measurements/%q", it.Key), &d); err != nil {
		return nil, err
	}
	fields := make([]Field, 0, len(d.Fields))
	for _, f := range d.Fields {
		fields = append(fields, Field{ID: f.ID, Name: f.Name, Type: fieldType(f.Type)})
	}
	return newFieldSet(fields).list, nil
}

// rcSeries decodes a series: its key is the number.
func rcSeries(measurement string, it boltview.Item) (Series, error) {
	object := fmt.Sprintf("Series/%q/%x", measurement, it.Key)
	if len(it.Key) != 8 {
		return Series{}, &MetaError{it.Offset(), object, "the key is not a number"}
	}
	var d struct{ Tags map[string]string }
	if err := decodeJSON(it, object, &d); err != nil {
		return Series{}, err
	}
	s := Series{ID: binary.BigEndian.Uint64(it.Key), Measurement: measurement, Listed: true}
	for _, k := range slices.Sorted(maps.Keys(d.Tags)) {
		s.Tags = append(s.Tags, Tag{k, d.Tags[k]})
	}
	s.Key = seriesKey(measurement, s.Tags)
	return s, nil
}
