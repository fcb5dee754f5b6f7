package fs

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Holder is a process that keeps a mount busy.
type Holder struct {
	PID     int
	Command string // name of the program
	How     string // such as "working directory" or "open file db/rp/1"
}

func (h Holder) String() string { return fmt.Sprintf("%s (pid %d, %s)", h.Command, h.PID, h.How) }

// Holders returns the processes that use the mount on dir, one line each, as
// far as this user may see them. Nothing is asked of the mount itself, which
// may hang.
func Holders(dir string) []Holder {
	m, err := findMount(dir)
	if m == nil || err != nil {
		return nil
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var holders []Holder
	for _, proc := range procs {
		how := holds(proc, m)
		if how == "" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil {
			continue
		}
		comm, _ := os.ReadFile(proc + "/comm") // it may have ended by now
		holders = append(holders, Holder{pid, strings.TrimSpace(string(comm)), how})
	}
	return holders
}

// holds returns how the process in the directory proc uses the mount, or "".
// Links in /proc are only read, never followed.
func holds(proc string, m *mountinfo.Info) string {
	for _, l := range []struct{ name, how string }{
		{"cwd", "working directory"}, {"root", "root directory"}, {"exe", "program"},
	} {
		if p, ok := inside(proc+"/"+l.name, m.Mountpoint); ok {
			return l.how + " " + p
		}
	}
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		if mountID(proc+"/fdinfo/"+fd.Name()) != m.ID {
			continue
		}
		p, _ := inside(proc+"/fd/"+fd.Name(), m.Mountpoint)
		return strings.TrimSpace("open file " + p)
	}
	return mapped(proc+"/maps", m)
}

// inside reads the link and returns where in the mount it points to.
func inside(link, mountPoint string) (string, bool) {
	p, err := os.Readlink(link)
	if err != nil {
		return "", false
	}
	if p == mountPoint {
		return ".", true
	}
	return strings.CutPrefix(p, mountPoint+"/")
}

// mountID returns the mount of an open file, from its fdinfo; 0 if unknown.
func mountID(fdinfo string) int {
	data, err := os.ReadFile(fdinfo)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if v, ok := bytes.CutPrefix(line, []byte("mnt_id:")); ok {
			id, _ := strconv.Atoi(string(bytes.TrimSpace(v)))
			return id
		}
	}
	return 0
}

// mapped looks for the device of the mount in the process's mappings. A line is
// "address perms offset major:minor inode path".
func mapped(maps string, m *mountinfo.Info) string {
	f, err := os.Open(maps)
	if err != nil {
		return ""
	}
	defer f.Close()
	dev := fmt.Sprintf("%02x:%02x", m.Major, m.Minor)
	s := bufio.NewScanner(f)
	for s.Scan() {
		if fields := strings.Fields(s.Text()); len(fields) >= 6 && fields[3] == dev {
			return "mapped file " + strings.TrimPrefix(strings.Join(fields[5:], " "), m.Mountpoint+"/")
		}
	}
	return ""
}
