package export_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// influxd is a running server of InfluxDB 1.
type influxd struct {
	url, host, port string
}

// startInfluxd starts a server on the loopback interface, and stops it at the
// end of the test. Without one installed the test is skipped, unless
// SNAPFS_TEST_INFLUXD is "require".
func startInfluxd(t *testing.T) *influxd {
	t.Helper()
	program, err := exec.LookPath("influxd")
	if err != nil {
		if os.Getenv("SNAPFS_TEST_INFLUXD") == "require" {
			t.Fatal(err)
		}
		t.Skip("influxd is not installed; SNAPFS_TEST_INFLUXD=require makes that a failure")
	}
	dir := t.TempDir()
	// Somebody may take a port between its choice and the start.
	for try := range 5 {
		rpc, addr := freeAddr(t), freeAddr(t)
		if s := tryInfluxd(t, program, fmt.Sprintf("%s/%d", dir, try), rpc, addr); s != nil {
			return s
		}
	}
	t.Fatal("influxd does not start")
	return nil
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tryInfluxd returns nil if the server ends.
func tryInfluxd(t *testing.T, program, dir, rpc, addr string) *influxd {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`reporting-enabled = false
bind-address = %q
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
  query-log-enabled = false
[retention]
  enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = %q
  log-enabled = false
[continuous_queries]
  enabled = false
`, rpc, dir+"/meta", dir+"/data", dir+"/wal", addr)
	if err := os.WriteFile(dir+"/conf", []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "run", "-config", dir+"/conf")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended <- <-ended
	})
	host, port, _ := net.SplitHostPort(addr)
	s := &influxd{"http://" + addr, host, port}
	for {
		resp, err := http.Get(s.url + "/ping")
		if err == nil {
			resp.Body.Close()
			if resp.Header.Get("X-Influxdb-Version") != "" {
				t.Logf("influxd %s", resp.Header.Get("X-Influxdb-Version"))
				return s
			}
		}
		select {
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(log.Name())
			t.Logf("influxd ended: %v\n%s", err, text)
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// answers is what a server says to a query, each statement one.
type answers struct {
	Error   string
	Results []struct {
		Error  string
		Series []struct {
			Name    string
			Tags    map[string]string
			Columns []string
			Values  [][]any
		}
	}
}

func (s *influxd) query(t *testing.T, database, statement string) answers {
	t.Helper()
	resp, err := http.PostForm(s.url+"/query", url.Values{"db": {database}, "q": {statement}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return parseAnswers(t, b)
}

func parseAnswers(t *testing.T, b []byte) answers {
	t.Helper()
	var a answers
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&a); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	for _, r := range a.Results {
		if a.Error == "" {
			a.Error = r.Error
		}
	}
	return a
}

// row names a point in an answer: the measurement with its tags, and the time.
type row struct {
	series string
	time   string
}

// rows returns the points of an answer: fields without a value are not there,
// nor tags without one. A point that is there twice has "again" in its name.
func (a answers) rows() map[row]map[string]string {
	out := map[row]map[string]string{}
	for _, r := range a.Results {
		for _, s := range r.Series {
			name := s.Name
			for _, k := range sorted(s.Tags) {
				if s.Tags[k] != "" {
					name += fmt.Sprintf(" %q=%q", k, s.Tags[k])
				}
			}
			for _, v := range s.Values {
				fields := map[string]string{}
				at := row{series: name}
				for i, col := range s.Columns {
					switch {
					case col == "time":
						at.time, _ = v[i].(string)
					case v[i] != nil:
						fields[col] = normal(v[i])
					}
				}
				for out[at] != nil {
					at.series += " again"
				}
				out[at] = fields
			}
		}
	}
	return out
}

// normal returns a value as text that is the same for equal ones. Answers do not
// tell 1 and 1.0 apart.
func normal(v any) string {
	n, ok := v.(json.Number)
	if !ok {
		return fmt.Sprintf("%T %v", v, v)
	}
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		return strconv.FormatInt(i, 10)
	}
	f, err := n.Float64()
	if err != nil {
		return "? " + n.String()
	}
	if f == float64(int64(f)) && f < 1<<53 && f > -1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
