package logs

import (
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/monitors/logs/catalogue"
)

// Bounds of what is remembered of a pattern.
const (
	maxSubjects = 8
	maxRecent   = 32
	maxExcerpt  = 400
)

// happening is what the lines of one pattern tell.
type happening struct {
	Count int64 `json:"count"`
	// First and Last are when the first and the last of the lines were written.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Recent are when the newest lines were written, as many as the pattern asks for.
	Recent []time.Time `json:"recent,omitempty"`
	// Stands: there were as many lines as the pattern asks for, and it is not over.
	Stands bool `json:"stands,omitempty"`
	// Subjects that the lines name, the newest first.
	Subjects []string `json:"subjects,omitempty"`
	// Line is the newest, cut, and Source where it stands.
	Line   string `json:"line"`
	Source string `json:"source"`
}

// standing is what the logs tell that is not over.
type standing struct {
	matcher *catalogue.Matcher
	// Boot that the kernel's lines belong to; what an earlier one told is over.
	boot  string
	holds map[string]*happening
	hits  []catalogue.Hit
}

func newStanding(patterns []catalogue.Pattern) *standing {
	return &standing{matcher: catalogue.NewMatcher(patterns), holds: map[string]*happening{}}
}

// take holds a line against the catalogue.
func (s *standing) take(l Line) {
	if l.Class == "" {
		return
	}
	if l.Class == catalogue.Kernel {
		s.booted(l)
	}
	s.hits = s.matcher.Match(l.Class, l.Text, s.hits[:0])
	for _, h := range s.hits {
		p := s.matcher.Patterns()[h.Pattern]
		switch h.Kind {
		case catalogue.Happened:
			s.add(p, h.Subject, l)
		case catalogue.Reverted:
			if held := s.holds[p.Name]; held != nil && len(held.Recent) > 0 {
				held.Recent = held.Recent[:len(held.Recent)-1]
				held.Count--
			}
		case catalogue.Over:
			s.over(p.Name, h.Subject)
		}
	}
}

// booted forgets what the kernel of an earlier boot said.
func (s *standing) booted(l Line) {
	if l.boot == s.boot {
		return
	}
	if s.boot != "" {
		for _, p := range s.matcher.Patterns() {
			if p.Boot() {
				delete(s.holds, p.Name)
			}
		}
	}
	s.boot = l.boot
}

func (s *standing) add(p catalogue.Pattern, subject string, l Line) {
	h := s.holds[p.Name]
	if h == nil || l.At.Sub(h.Last) > p.TTL {
		h = &happening{First: l.At}
		s.holds[p.Name] = h
	}
	h.Count++
	if l.At.After(h.Last) {
		h.Last = l.At
	}
	h.Line, h.Source = cut(l.Text), l.Source
	if subject != "" {
		h.Subjects = slices.DeleteFunc(h.Subjects, func(s string) bool { return s == subject })
		h.Subjects = slices.Insert(h.Subjects, 0, subject)
		h.Subjects = h.Subjects[:min(len(h.Subjects), maxSubjects)]
	}
	h.Recent = append(h.Recent, l.At)
	need := min(max(1, p.AtLeast), maxRecent)
	h.Recent = h.Recent[max(0, len(h.Recent)-need):]
	if len(h.Recent) == need && (need == 1 || l.At.Sub(h.Recent[0]) <= p.Within) {
		h.Stands = true
	}
}

// over ends what a line says is over: for one subject, or, where it names none, wholly.
func (s *standing) over(name, subject string) {
	h := s.holds[name]
	if h == nil {
		return
	}
	h.Subjects = slices.DeleteFunc(h.Subjects, func(s string) bool { return s == subject })
	if subject == "" || len(h.Subjects) == 0 {
		delete(s.holds, name)
	}
}

// prune ends what has lasted its time, and what still tells whether it is so says is over.
func (s *standing) prune(now time.Time, readOnly func(device string) (is, known bool)) {
	for _, p := range s.matcher.Patterns() {
		h := s.holds[p.Name]
		if h == nil {
			continue
		}
		if now.Sub(h.Last) > p.TTL {
			delete(s.holds, p.Name)
			continue
		}
		if !p.WhileReadOnly {
			continue
		}
		for _, device := range slices.Clone(h.Subjects) {
			if is, known := readOnly(device); known && !is {
				s.over(p.Name, device)
			}
		}
	}
}

// cut bounds an excerpt to its first bytes, at the border of a character.
func cut(text string) string {
	if len(text) <= maxExcerpt {
		return text
	}
	end := maxExcerpt
	for end > 0 && text[end]&0xc0 == 0x80 {
		end--
	}
	return text[:end] + "…"
}
