package workload

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first asked. What the catalogues of this
// package hold takes a megabyte when it is compiled, and programs that link all rules, as the agent on each
// machine does, may never ask it.
type pattern struct {
	text     string
	compiled func() *regexp.Regexp
}

// patterned makes a pattern; a text that is none breaks whoever first asks it, so that a test asks all.
func patterned(text string) pattern {
	return pattern{text, sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}
}

// String is the text of the expression.
func (p pattern) String() string { return p.text }

// MatchString tells whether the expression is somewhere in a text.
func (p pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }

// FindStringIndex is where it first is, from and to; nil where it is not.
func (p pattern) FindStringIndex(s string) []int { return p.compiled().FindStringIndex(s) }
