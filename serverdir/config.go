package serverdir

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/snapfs/snapfs/internal/hint"
)

// ErrConfig is returned when a configuration lacks what is needed, or
// contradicts itself or the snapshot.
var ErrConfig = errors.New("configuration")

// maxConfig bounds the size of a configuration in bytes.
const maxConfig = 1 << 20

// Defaults of the servers.
const (
	defaultHost          = "localhost"
	defaultPort          = "8088" // of the final releases, between servers
	defaultHTTP          = ":8086"
	defaultCandidatePort = 8086
)

// Config is what a server's configuration says about its directories and
// addresses.
type Config struct {
	Candidate bool // the configuration is that of a release candidate

	// DataDir and MetaDir are the directories; "" if they are not set. MetaDir
	// is that of the broker of a release candidate.
	DataDir, MetaDir string

	// Others are directories that the server keeps more in, of which no snapshot
	// has anything, and which it reads when it starts: the write-ahead log of the
	// engine bz1, and what it could not hand to other servers.
	Others []string

	// Host and Port are where the server is reached by others.
	Host, Port string

	// Listen are the addresses that the server listens on, host:port.
	Listen []string

	// NoSnapshots says that the server gives no snapshots away.
	NoSnapshots bool

	// Peers are the other servers of its cluster.
	Peers []string
}

// DefaultConfig returns what the servers assumed without a configuration, with
// no directories.
func DefaultConfig(candidate bool) Config {
	if candidate {
		port := strconv.Itoa(defaultCandidatePort)
		return Config{Candidate: true, Host: defaultHost, Port: port, Listen: []string{":" + port}}
	}
	return Config{Host: defaultHost, Port: defaultPort, Listen: []string{":" + defaultPort, defaultHTTP}}
}

// wire is a configuration, of either generation, as far as it matters.
type wire struct {
	// Of the release candidates.
	Hostname    string
	BindAddress string `toml:"bind-address"`
	Port        int
	Broker      struct{ Dir string }
	API         struct {
		BindAddress string `toml:"bind-address"`
		Port        int
	}

	// Of both.
	Data struct {
		Dir    string
		WALDir string `toml:"wal-dir"`
	}
	Snapshot struct{ Enabled bool }

	// Of the final releases.
	Meta struct {
		Dir         string
		Hostname    string
		BindAddress string `toml:"bind-address"`
		Peers       []string
	}
	Handoff struct {
		Dir string
	} `toml:"hinted-handoff"`
	HTTP struct {
		Enabled     bool
		BindAddress string `toml:"bind-address"`
	}
}

// ReadConfig reads the configuration file of a server: that of a final release
// has a section [meta], that of a release candidate a section [broker]. What
// is not set has the default of the server; but the directories of a final
// release, which has none, stay empty. Relative directories are left as they
// are. Errors match [ErrConfig], or are those of opening the file.
func ReadConfig(name string) (Config, error) {
	f, err := os.Open(name)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return Config{}, err
	}
	if len(b) > maxConfig {
		return Config{}, fmt.Errorf("%s: %w: more than %d bytes", name, ErrConfig, maxConfig)
	}
	c, err := parseConfig(string(b))
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func parseConfig(text string) (Config, error) {
	var w wire
	w.Hostname, w.Port = defaultHost, defaultCandidatePort
	w.Meta.Hostname, w.Meta.BindAddress = defaultHost, ":"+defaultPort
	w.HTTP.Enabled, w.HTTP.BindAddress = true, defaultHTTP
	w.Snapshot.Enabled = true
	keys, err := toml.Decode(text, &w)
	var parse toml.ParseError
	switch {
	case errors.As(err, &parse):
		return Config{}, fmt.Errorf("%w: line %d: %s", ErrConfig, parse.Position.Line, parse.Message)
	case err != nil:
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	meta, broker := keys.IsDefined("meta"), keys.IsDefined("broker")
	switch {
	case meta && broker:
		return Config{}, fmt.Errorf("%w: sections [meta] and [broker]: those of a final release and of a release candidate", ErrConfig)
	case broker:
		return w.candidate(), nil
	case meta && (keys.IsDefined("bind-address") || keys.IsDefined("coordinator")):
		// From 0.10 on the whole server has the address that [meta] had before.
		err := fmt.Errorf("%w: that of InfluxDB 0.10 or later, which keep their data otherwise", ErrConfig)
		return Config{}, hint.Wrap(err, "snapfs export --to http://localhost:8086 --create moves the points into such a server; for a server of 0.9 name --meta-dir and --data-dir")
	case meta:
		return w.release()
	}
	return Config{}, hint.Wrap(fmt.Errorf("%w: neither a section [meta] nor [broker]: not that of a server", ErrConfig), "name the influxdb.conf of the server, or --meta-dir and --data-dir")
}

func (w wire) release() (Config, error) {
	c := Config{DataDir: w.Data.Dir, MetaDir: w.Meta.Dir, Host: w.Meta.Hostname, Peers: w.Meta.Peers, NoSnapshots: !w.Snapshot.Enabled}
	_, port, err := net.SplitHostPort(w.Meta.BindAddress)
	if err != nil {
		return c, fmt.Errorf("%w: [meta] bind-address: %w", ErrConfig, err)
	}
	c.Port = port
	if c.Host == "" {
		c.Host = defaultHost
	}
	for _, dir := range []string{w.Data.WALDir, w.Handoff.Dir} {
		if dir != "" {
			c.Others = append(c.Others, dir)
		}
	}
	c.Listen = append(c.Listen, w.Meta.BindAddress)
	if w.HTTP.Enabled {
		c.Listen = append(c.Listen, w.HTTP.BindAddress)
	}
	return c, nil
}

func (w wire) candidate() Config {
	c := Config{Candidate: true, DataDir: w.Data.Dir, MetaDir: w.Broker.Dir, Host: w.Hostname, Port: strconv.Itoa(w.Port), NoSnapshots: !w.Snapshot.Enabled}
	if c.Host == "" {
		c.Host = defaultHost
	}
	if home, err := os.UserHomeDir(); err == nil {
		if c.DataDir == "" {
			c.DataDir = filepath.Join(home, ".influxdb", "data")
		}
		if c.MetaDir == "" {
			c.MetaDir = filepath.Join(home, ".influxdb", "broker")
		}
	}
	c.Listen = append(c.Listen, net.JoinHostPort(w.BindAddress, c.Port))
	if w.API.Port != 0 {
		host := w.API.BindAddress
		if host == "" {
			host = w.BindAddress
		}
		c.Listen = append(c.Listen, net.JoinHostPort(host, strconv.Itoa(w.API.Port)))
	}
	return c
}

// Check returns an error if the directories cannot be used together. It matches
// [ErrConfig].
func (c Config) Check() error {
	store, flag := "[meta] dir", "--meta-dir"
	if c.Candidate {
		store, flag = "[broker] dir", "--broker-dir"
	}
	switch {
	case c.MetaDir == "":
		return hint.Wrap(fmt.Errorf("%w: %s is not set", ErrConfig, store), "%s DIR", flag)
	case c.DataDir == "":
		return hint.Wrap(fmt.Errorf("%w: [data] dir is not set", ErrConfig), "--data-dir DIR")
	}
	data, err := filepath.Abs(c.DataDir)
	if err != nil {
		return err
	}
	meta, err := filepath.Abs(c.MetaDir)
	if err != nil {
		return err
	}
	if within(data, meta) || within(meta, data) {
		return fmt.Errorf("%w: one of the directories lies in the other: %s, %s", ErrConfig, c.MetaDir, c.DataDir)
	}
	return nil
}

// within reports whether a directory is another one, or below it. Both paths
// are absolute.
func within(dir, of string) bool {
	rel, err := filepath.Rel(of, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
