package seal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Version is the version of the format that is written, and the only one that is
// read.
const Version = 1

// ErrSeal is returned when a file is no seal, or not a whole one.
var ErrSeal = errors.New("not a whole seal")

// Seal is what [Read] returns.
type Seal struct {
	Snapshot string // name of the full snapshot, without its directory
	Layers   []Layer
}

// Layer is the seal of one tar.
type Layer struct {
	Name    string   `json:"layer"`
	File    string   `json:"file"` // without its directory
	Size    int64    `json:"size"`
	Count   int      `json:"members"`
	Frame   string   `json:"frame"` // SHA-256 of what is no member, in hex
	Members []Member `json:"-"`
}

// Member is the seal of one member.
type Member struct {
	Layer  string `json:"layer"`
	Path   string `json:"path"`   // in the tree of the layer's tar
	Offset int64  `json:"offset"` // of the data, in bytes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // in hex
	Page   int64  `json:"page"`   // bytes of a page
	Group  int64  `json:"group"`  // pages of a group
	CRCs   []byte `json:"crcs"`   // 4 bytes for each group
}

type head struct {
	Version  int    `json:"snapfs_seal"`
	Snapshot string `json:"snapshot"`
	Hash     string `json:"hash"`
	Groups   string `json:"groups"`
}

// Totals counts what was sealed.
type Totals struct {
	Layers  int    `json:"layers"`
	Members int    `json:"members"`
	Bytes   int64  `json:"bytes"` // of the tars
	SHA256  string `json:"sha256"`
}

const (
	hashName  = "sha256"
	groupName = "crc32c"

	// maxGroups bounds the groups of a member: 256 KiB of CRCs.
	maxGroups = 1 << 16
	// maxLine is more than the longest line: that many CRCs in base64, and a name of
	// 1 MiB, which is all that a tar can give a member, each byte of it escaped.
	maxLine = 4 << 20
)

// groupOf returns how many pages go into a group.
func groupOf(size, page int64) int64 {
	group := int64(1)
	for size/page/group >= maxGroups {
		group *= 2
	}
	return group
}

// Write writes the seal, and returns what is in it.
func (s *Seal) Write(w io.Writer) (t Totals, err error) {
	sum := sha256.New()
	out := bufio.NewWriter(w)
	line := func(v any) {
		if err != nil {
			return
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err = e.Encode(v); err != nil {
			return
		}
		sum.Write(b.Bytes())
		_, err = out.Write(b.Bytes())
	}
	line(head{Version, s.Snapshot, hashName, groupName})
	for _, l := range s.Layers {
		line(l)
		t.Layers++
		t.Bytes += l.Size
		for _, m := range l.Members {
			line(m)
			t.Members++
		}
	}
	t.SHA256 = hex.EncodeToString(sum.Sum(nil))
	line(t)
	if err == nil {
		err = out.Flush()
	}
	return t, err
}

// Read reads a seal. The error matches [ErrSeal] if it is none, of another
// version, cut off, or changed; or is one of r.
func Read(r io.Reader) (*Seal, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxLine)
	sum := sha256.New()
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrSeal, fmt.Sprintf(format, args...))
	}
	var s *Seal
	members := 0
	for n := 1; in.Scan(); n++ {
		var kind struct {
			Frame, Path *string
			Layers      *int
		}
		if err := json.Unmarshal(in.Bytes(), &kind); err != nil {
			return nil, bad("line %d: %v", n, err)
		}
		var err error
		switch {
		case s == nil:
			var h head
			if err = json.Unmarshal(in.Bytes(), &h); err != nil || h.Version == 0 {
				return nil, bad("line 1 is not that of a seal")
			}
			if h.Version != Version || h.Hash != hashName || h.Groups != groupName {
				return nil, bad("version %d, %s and %s; this program knows %d, %s and %s", h.Version, h.Hash, h.Groups, Version, hashName, groupName)
			}
			s = &Seal{Snapshot: h.Snapshot}
		case kind.Layers != nil:
			var t Totals
			if err := json.Unmarshal(in.Bytes(), &t); err != nil || t.SHA256 != hex.EncodeToString(sum.Sum(nil)) || t.Layers != len(s.Layers) || t.Members != members {
				return nil, bad("its lines are not those that were written")
			}
			if in.Scan() {
				return nil, bad("line %d: something follows the end", n+1)
			}
			return s, in.Err()
		case kind.Frame != nil:
			var l Layer
			if err = json.Unmarshal(in.Bytes(), &l); err == nil && l.Name != "full" && strings.Trim(l.Name, "0123456789") != "" {
				err = fmt.Errorf("no layer has the name %q", l.Name)
			}
			s.Layers = append(s.Layers, l)
		default:
			var m Member
			if err = json.Unmarshal(in.Bytes(), &m); err == nil {
				err = s.add(m)
				members++
			}
		}
		if err != nil {
			return nil, bad("line %d: %v", n, err)
		}
		sum.Write(in.Bytes())
		sum.Write([]byte{'\n'})
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	return nil, bad("it is cut off")
}

// add adds a member to the last layer. Members do not overlap, and lie in the
// tar.
func (s *Seal) add(m Member) error {
	if len(s.Layers) == 0 || s.Layers[len(s.Layers)-1].Name != m.Layer {
		return errors.New("a member without its layer")
	}
	l := &s.Layers[len(s.Layers)-1]
	end := int64(0)
	if n := len(l.Members); n > 0 {
		end = l.Members[n-1].Offset + l.Members[n-1].Size
	}
	switch {
	case m.Offset < end || m.Size < 0 || m.Size > l.Size || m.Offset > l.Size-m.Size:
		return fmt.Errorf("member %q does not lie in its layer", m.Path)
	case m.Page < 1 || m.Page > 1<<20 || m.Group < 1 || m.Group > 1<<40 || len(m.CRCs)%4 != 0 || int64(len(m.CRCs)/4) != groups(m.Size, m.Page*m.Group):
		return fmt.Errorf("member %q does not have a CRC for each group", m.Path)
	}
	l.Members = append(l.Members, m)
	return nil
}

// groups returns how many groups of so many bytes a member has.
func groups(size, bytes int64) int64 {
	n := size / bytes
	if size%bytes > 0 {
		n++
	}
	return n
}
