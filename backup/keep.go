package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrPattern is returned when a pattern of paths is none.
var ErrPattern = errors.New("wrong pattern")

// verbs are what a pattern can hold, with the digits that they stand for.
var verbs = map[byte]struct {
	digits int
	value  func(time.Time) int
}{
	'Y': {4, time.Time.Year},
	'm': {2, func(t time.Time) int { return int(t.Month()) }},
	'd': {2, time.Time.Day},
	'H': {2, time.Time.Hour},
	'G': {4, func(t time.Time) int { year, _ := t.ISOWeek(); return year }},
	'V': {2, func(t time.Time) int { _, week := t.ISOWeek(); return week }},
}

// order is that of the verbs by what they weigh.
const order = "YGmVdH"

// Pattern is a path that changes with time: %Y, %m, %d and %H stand for year,
// month, day and hour, %G and %V for the year and week of ISO 8601, all of UTC,
// and %% for a percent sign. Each path is a chain of its own, so that, with
// "backups/%Y-%m-%d/snap", each day begins with a full snapshot.
type Pattern struct {
	parts  []string // literal, verb, literal, …, literal
	dir    string   // that no verb changes
	naming *regexp.Regexp
	levels []*regexp.Regexp // names below dir: of directories, and last of chains
}

// ParsePattern parses a pattern, which must hold a verb. The error matches
// [ErrPattern].
func ParsePattern(s string) (*Pattern, error) {
	p := &Pattern{parts: []string{""}}
	naming := "^"
	for rest := filepath.Clean(s); rest != ""; {
		literal, after, found := strings.Cut(rest, "%")
		p.parts[len(p.parts)-1] += literal
		naming += regexp.QuoteMeta(literal)
		rest = after
		if !found {
			break
		}
		if rest == "" {
			return nil, fmt.Errorf("%q: %w: it ends in %%", s, ErrPattern)
		}
		c := rest[0]
		rest = rest[1:]
		verb, ok := verbs[c]
		switch {
		case c == '%':
			p.parts[len(p.parts)-1] += "%"
			naming += "%"
		case ok:
			p.parts = append(p.parts, string(c), "")
			naming += fmt.Sprintf("([0-9]{%d})", verb.digits)
		default:
			return nil, fmt.Errorf("%q: %w: no %%%c; there are %%Y %%m %%d %%H %%G %%V", s, ErrPattern, c)
		}
	}
	if len(p.parts) == 1 {
		return nil, fmt.Errorf("%q: %w: it is the same at all times; there are %%Y %%m %%d %%H %%G %%V", s, ErrPattern)
	}
	p.dir = filepath.Dir(p.parts[0] + "x")
	p.naming = regexp.MustCompile(naming + "$")
	names := strings.Split(naming[1:], "/")
	for _, name := range names[strings.Count(p.parts[0], "/"):] {
		p.levels = append(p.levels, regexp.MustCompile("^"+name+"$"))
	}
	return p, nil
}

// At returns the path at a time.
func (p *Pattern) At(t time.Time) string {
	t = t.UTC()
	return p.format(func(verb byte) int { return verbs[verb].value(t) })
}

func (p *Pattern) format(value func(verb byte) int) string {
	var b strings.Builder
	for i, part := range p.parts {
		if i%2 == 0 {
			b.WriteString(part)
		} else {
			fmt.Fprintf(&b, "%0*d", verbs[part[0]].digits, value(part[0]))
		}
	}
	return b.String()
}

// weight returns what to order a path by, and whether the pattern makes it.
func (p *Pattern) weight(path string) (string, bool) {
	found := p.naming.FindStringSubmatch(path)
	if found == nil {
		return "", false
	}
	values := map[byte]int{}
	for i, digits := range found[1:] {
		values[p.parts[2*i+1][0]], _ = strconv.Atoi(digits) // up to four digits
	}
	if p.format(func(verb byte) int { return values[verb] }) != path {
		return "", false // a verb that is there twice has two values
	}
	weight := ""
	for i := range len(order) {
		weight += fmt.Sprintf("%04d", values[order[i]])
	}
	return weight, true
}

// Chains returns the chains that there are, the oldest first. The directory that
// no verb changes may be a link. Directories that the pattern does not make are not
// looked into.
func (p *Pattern) Chains() ([]string, error) {
	type found struct{ weight, path string }
	var all []found
	dirs := []string{p.dir}
	for level, name := range p.levels {
		last := level == len(p.levels)-1
		var next []string
		for _, dir := range dirs {
			entries, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			for _, e := range entries {
				path := filepath.Join(dir, e.Name())
				switch {
				case !name.MatchString(e.Name()):
				case !last && e.IsDir():
					next = append(next, path)
				case last && e.Type().IsRegular():
					if weight, ok := p.weight(path); ok {
						all = append(all, found{weight, path})
					}
				}
			}
		}
		dirs = next
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.weight, b.weight) })
	paths := make([]string, len(all))
	for i, f := range all {
		paths[i] = f.path
	}
	return paths, nil
}

// Prune removes all chains but the newest keep, of which there is at least one,
// and returns the paths of those that it removed. Chains of a time after now,
// which a wrong clock has left, stay and do not count: they would outlive all that
// are taken. A chain that a backup is being added to stays. Directories that are
// empty then, and have a verb in their name, go as well.
func (p *Pattern) Prune(keep int, now time.Time) (removed []string, err error) {
	paths, err := p.Chains()
	if err != nil {
		return nil, err
	}
	present, _ := p.weight(p.At(now))
	paths = slices.DeleteFunc(paths, func(path string) bool {
		weight, _ := p.weight(path)
		return weight > present
	})
	for _, path := range paths[:max(0, len(paths)-max(keep, 1))] {
		switch err := remove(path); {
		case errors.Is(err, ErrLocked):
			continue
		case err != nil:
			return removed, fmt.Errorf("remove chain: %w", err)
		}
		removed = append(removed, path)
		for dir := filepath.Dir(path); dir != p.dir && len(dir) > len(p.dir); dir = filepath.Dir(dir) {
			if os.Remove(dir) != nil {
				break // something else is in there
			}
		}
	}
	return removed, nil
}

// remove removes the layers of a chain, the newest first, so that what is left
// at any time is a chain.
func remove(path string) (err error) {
	s, err := lock(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	n, err := incrementals(path)
	if err != nil {
		return err
	}
	for n--; n >= 0; n-- {
		if err := os.Remove(path + "." + strconv.Itoa(n)); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

// incrementals returns how many there are without a gap. One that cannot be
// looked at is an error, and not the end: it may be there.
func incrementals(path string) (n int, err error) {
	for ; ; n++ {
		if _, err := os.Lstat(path + "." + strconv.Itoa(n)); errors.Is(err, fs.ErrNotExist) {
			return n, nil
		} else if err != nil {
			return 0, err
		}
	}
}
