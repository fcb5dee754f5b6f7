package serverdir

import (
	"fmt"
	"net"

	"github.com/snapfs/snapfs/internal/hint"
)

// Naming is what a server takes for its own address. It is written as auto, ip
// or name.
type Naming uint8

const (
	// Auto is what the server did that the snapshot is of.
	Auto Naming = iota
	// IP is the host name resolved: what servers up to 0.9.2 do.
	IP
	// Name is the host name as it is configured: what servers from 0.9.3 on do.
	Name
)

// NamingOf returns what the server did that wrote metadata of a final release:
// [Name] if it was 0.9.3 or later, else [IP]. It never returns Auto.
//
// From 0.9.3 on a shard has a list of owners where it had a list of their
// numbers; and a host name that is no address was never resolved.
func NamingOf(meta []byte) Naming {
	for host := range nested(meta, 4, 2) {
		if h, _, err := net.SplitHostPort(string(host)); err == nil && net.ParseIP(h) == nil {
			return Name
		}
	}
	for range nested(meta, 5, 3, 5, 5, 3) {
		return Name
	}
	return IP
}

// Address returns what a server with this configuration takes for its own
// address: host:port, for a release candidate http://host:port. With naming
// [IP] the host name must be one that can be resolved here. Auto is the same as
// Name.
func (c Config) Address(naming Naming) (string, error) {
	addr := net.JoinHostPort(c.Host, c.Port)
	switch {
	case c.Candidate:
		return "http://" + addr, nil
	case naming == IP:
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			return "", hint.Wrap(fmt.Errorf("%w: own address of the server: %w", ErrConfig, err), "name it as the server will see it: --node-address IP:PORT")
		}
		return a.String(), nil
	}
	return addr, nil
}
