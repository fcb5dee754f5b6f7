package influx

import (
	"slices"
	"strconv"
)

// User is an account of a server.
type User struct {
	Name       string               `json:"name"`
	Admin      bool                 `json:"admin"`
	Privileges map[string]Privilege `json:"privileges"` // by database
	Hash       Hash                 `json:"hash,omitzero"`
}

// Privilege is what a user may do with a database.
type Privilege int32

// The privileges.
const (
	PrivilegeNone  Privilege = 0
	PrivilegeRead  Privilege = 1
	PrivilegeWrite Privilege = 2
	PrivilegeAll   Privilege = 3
)

// String returns the word of InfluxQL, or the number.
func (p Privilege) String() string {
	switch p {
	case PrivilegeNone:
		return "NO PRIVILEGES"
	case PrivilegeRead:
		return "READ"
	case PrivilegeWrite:
		return "WRITE"
	case PrivilegeAll:
		return "ALL PRIVILEGES"
	}
	return strconv.Itoa(int(p))
}

// MarshalText returns what String returns.
func (p Privilege) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Hash is the hash of a password, which does not show itself: neither printed
// nor in JSON, unless [Meta.WithHashes] says so.
type Hash struct {
	text  string
	shown bool
}

// Reveal returns the hash.
func (h Hash) Reveal() string { return h.text }

// IsZero reports whether the hash is not to be shown.
func (h Hash) IsZero() bool { return !h.shown }

// String returns the hash if it is to be shown, else a word in its place.
func (h Hash) String() string {
	if h.shown {
		return h.text
	}
	return "(hidden)"
}

// GoString is String, for %#v.
func (h Hash) GoString() string { return strconv.Quote(h.String()) }

// MarshalText returns what String returns.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// WithHashes returns a copy of the metadata that shows the hashes of passwords
// where it is printed or marshalled.
func (m *Meta) WithHashes() *Meta {
	c := *m
	c.Users = slices.Clone(m.Users)
	for i := range c.Users {
		c.Users[i].Hash.shown = true
	}
	return &c
}
