// Package wire holds the facts of the snapshot protocol of InfluxDB 0.9, which
// clients and servers share.
//
// A final release answers on the TCP port of its cluster service. The client
// sends the byte [Header], which says what it wants of that port, and one JSON
// value: the merged manifest of the chain that it has, or null. The server
// sends a tar, a layer of a chain, and closes. There is no length, no status
// and no checksum: an answer is complete if its tar is.
//
// A release candidate answers GET of [Path] over HTTP. The body of the request
// is the manifest, or empty.
//
// Either way the tar holds what is newer than the manifest says, see [Newer].
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/snapfs/snapfs/chain"
)

const (
	// Header is the first byte of a request for a snapshot over TCP.
	Header = 0x03

	// Path is what a request over HTTP asks for.
	Path = "/data/snapshot"

	// Port and HTTPPort are where servers listen unless told otherwise.
	Port     = "8088"
	HTTPPort = "8086"
)

var (
	// ErrRequest is returned when a request holds no manifest: no JSON, or
	// another kind of JSON. Its text begins with what the JSON decoder says, as
	// servers answer it.
	ErrRequest = errors.New("no manifest")

	// ErrTooLarge is returned when a manifest is longer than it may be.
	ErrTooLarge = errors.New("manifest is too large")
)

// AppendRequest appends a manifest as clients send it, null if there is none.
func AppendRequest(b []byte, known *chain.Manifest) []byte {
	if known == nil {
		b = append(b, "null"...)
	} else {
		b = known.AppendJSON(b)
	}
	return append(b, '\n')
}

// ReadRequest reads the one JSON value of a request, and no more than the
// decoder needs to know that it is complete. Servers take much for a manifest:
// null, an object without files, files without a time; so does this. The
// dialect of what it returns is [chain.Unknown], and files have both stamps.
//
// Errors match [ErrRequest], [ErrTooLarge] if more than most bytes are needed,
// or come from r; io.EOF says that r was empty.
func ReadRequest(r io.Reader, most int64) (chain.Manifest, error) {
	var request struct {
		Files []struct {
			Name         string    `json:"name"`
			Size         int64     `json:"size"`
			LastModified time.Time `json:"lastModified"`
			Index        uint64    `json:"index"`
		} `json:"files"`
	}
	limited := &io.LimitedReader{R: &remember{r: r}, N: most}
	err := json.NewDecoder(limited).Decode(&request)
	switch broken := limited.R.(*remember).err; {
	case err == nil:
	case err == io.EOF && limited.N > 0, broken != nil:
		return chain.Manifest{}, err
	case limited.N <= 0:
		return chain.Manifest{}, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	default:
		return chain.Manifest{}, &requestError{err}
	}
	m := chain.Manifest{Files: make([]chain.ManifestFile, len(request.Files))}
	for i, f := range request.Files {
		m.Files[i] = chain.ManifestFile{Name: f.Name, Size: f.Size, Stamp: chain.Stamp{Time: f.LastModified, Index: f.Index}}
	}
	return m, nil
}

// remember keeps the error of a reader, unless it is io.EOF, to tell it from
// those of what decodes.
type remember struct {
	r   io.Reader
	err error
}

func (r *remember) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// requestError is an error of the JSON decoder that is ErrRequest.
type requestError struct{ error }

func (e *requestError) Is(target error) bool { return target == ErrRequest }
func (e *requestError) Unwrap() error        { return e.error }

// Newer returns the files of have that a client which knows known is sent:
// those that it does not know, or knows older. Sizes do not matter, and stamps
// are compared as the dialect of have says, so that what another dialect says is
// older than all.
//
// FORMAT: a file is left out if the client has the same name with a stamp that
// is not older. Without any, the list is nil, which servers write as null.
func Newer(have, known chain.Manifest) chain.Manifest {
	stamps := make(map[string]chain.Stamp, len(known.Files))
	for _, f := range known.Files {
		s := chain.Stamp{Time: f.Stamp.Time}
		if have.Dialect == chain.ByIndex {
			s = chain.Stamp{Index: f.Stamp.Index}
		}
		if old, ok := stamps[f.Name]; !ok || s.Newer(old) {
			stamps[f.Name] = s
		}
	}
	out := chain.Manifest{Dialect: have.Dialect}
	for _, f := range have.Files {
		if s, ok := stamps[f.Name]; !ok || f.Stamp.Newer(s) {
			out.Files = append(out.Files, f)
		}
	}
	return out
}
