package npd

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Word is what is known of a condition or reason.
type Word string

// The words.
const (
	OK      Word = "ok"
	Problem Word = "problem"
	Unknown Word = "unknown"
)

// maxHappened bounds how many lines a counter can ask for.
const maxHappened = 1000

// State is what a condition or reason stands at.
type State struct {
	// Name of the condition, or the reason of a temporary rule.
	Name string
	Word Word
	// Reason and Message as node-problem-detector would give them.
	Reason, Message string
	// Since is when it came to be so; zero where nothing happened yet.
	Since time.Time
}

type state struct {
	Word                          Word
	reason, message               string
	defaultReason, defaultMessage string
	since, last                   time.Time
	stands                        time.Duration // zero stands until a plugin says otherwise
	perBoot                       bool
}

// Line is a line as rules read it.
type Line struct {
	At time.Time
	// Kernel tells of the kernel's own lines; Identifier is what other writers call themselves; Path is
	// the file that it stands in, if it is one.
	Kernel           bool
	Identifier, Path string
	Text             string
}

// Detector holds lines and plugins against configuration files. It is safe for concurrent use.
type Detector struct {
	mu      sync.Mutex
	logs    []*logRule
	plugins []*plugin
	states  map[string]*state
	workers int
	running int
}

// Identifiers are the syslog identifiers whose lines the rules read.
func (d *Detector) Identifiers() []string {
	var out []string
	for _, r := range d.logs {
		if r.origin.identifier != "" && !slices.Contains(out, r.origin.identifier) {
			out = append(out, r.origin.identifier)
		}
	}
	return out
}

// Paths are the files whose lines the rules read.
func (d *Detector) Paths() []string {
	var out []string
	for _, r := range d.logs {
		if r.origin.path != "" && !slices.Contains(out, r.origin.path) {
			out = append(out, r.origin.path)
		}
	}
	return out
}

// Take holds a line against the rules.
func (d *Detector) Take(l Line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.logs {
		if !r.origin.wrote(l) {
			continue
		}
		if r.revert != nil && r.revert.MatchString(l.Text) {
			r.happened = r.happened[:max(0, len(r.happened)-1)]
			continue
		}
		message, ok := r.match(l.Text)
		if !ok {
			continue
		}
		r.happened = append(r.happened, l.At)
		r.happened = r.happened[max(0, len(r.happened)-r.atLeast):]
		if len(r.happened) < r.atLeast || r.within > 0 && l.At.Sub(r.happened[0]) > r.within {
			continue
		}
		s := d.stateOf(r.name)
		s.set(Problem, r.reason, message, l.At)
		s.stands, s.perBoot = r.stands, r.perBoot
	}
}

func (o origin) wrote(l Line) bool {
	switch {
	case o.kernel:
		return l.Kernel
	case o.path != "":
		return l.Path == o.path
	default:
		return !l.Kernel && l.Identifier == o.identifier
	}
}

// match holds the newest lines against the pattern. The match must reach into the newest line: what
// ended before was told before.
func (r *logRule) match(line string) (string, bool) {
	if r.lines == 1 {
		return line, r.pattern.MatchString(line)
	}
	r.remembers = append(r.remembers, line)
	r.remembers = r.remembers[max(0, len(r.remembers)-r.lines):]
	text := strings.Join(r.remembers, "\n")
	for _, at := range r.pattern.FindAllStringIndex(text, -1) {
		if at[1] > len(text)-len(line) {
			return text[at[0]:at[1]], true
		}
	}
	return "", false
}

// Rebooted ends what the kernel of an earlier boot said.
func (d *Detector) Rebooted() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.states {
		if s.perBoot && s.Word == Problem {
			s.reset(time.Time{})
		}
	}
}

func (d *Detector) stateOf(name string) *state {
	s, ok := d.states[name]
	if !ok {
		s = &state{Word: OK}
		d.states[name] = s
	}
	return s
}

func (s *state) set(word Word, reason, message string, at time.Time) {
	if s.Word != word || s.reason != reason {
		s.since = at
	}
	s.Word, s.reason, s.message, s.last = word, reason, message, at
}

func (s *state) reset(at time.Time) {
	s.Word, s.reason, s.message, s.since, s.stands = OK, s.defaultReason, s.defaultMessage, at, 0
}

// States are what all conditions and reasons stand at, by name. What has lasted its time is ended.
func (d *Detector) States(now time.Time) []State {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]State, 0, len(d.states))
	for name, s := range d.states {
		if s.stands > 0 && now.Sub(s.last) > s.stands {
			s.reset(s.last.Add(s.stands))
		}
		out = append(out, State{Name: name, Word: s.Word, Reason: s.reason, Message: s.message, Since: s.since})
	}
	slices.SortFunc(out, func(a, b State) int { return strings.Compare(a.Name, b.Name) })
	return out
}
