package catalogue

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Class is who writes a line.
type Class string

// The classes of writers.
const (
	Kernel            Class = "kernel"
	Systemd           Class = "systemd" // what the service manager says about units
	Smartd            Class = "smartd"
	Kubelet           Class = "kubelet"
	Containerd        Class = "containerd"
	Docker            Class = "docker"
	CRIO              Class = "crio"
	Flannel           Class = "flannel"
	Etcd              Class = "etcd"
	APIServer         Class = "kube-apiserver"
	Scheduler         Class = "kube-scheduler"
	ControllerManager Class = "kube-controller-manager"
	KubeProxy         Class = "kube-proxy"
	CoreDNS           Class = "coredns"
	Network           Class = "network" // agents of network plugins: Calico, Cilium and others
)

// Pattern is a kind of line.
type Pattern struct {
	// Name of the pattern, in the words of an evidence key.
	Name string
	// Doc says in a sentence what happened.
	Doc string
	// Classes of writers whose lines can fit.
	Classes []Class
	// Literals: a line without any of them cannot fit. They are looked for first, because that is much
	// cheaper than Expr.
	Literals []string
	// Expr is the regular expression of the line; its first group that is not empty is the subject.
	Expr string
	// Not excludes lines that fit Expr.
	Not string
	// AtLeast lines Within a time make it a happening; zero means one line.
	AtLeast int
	Within  time.Duration
	// Revert is a line that takes one back: an order that explains what followed it.
	Revert string
	// TTL is how long after the last line it stands. Nothing stands over a reboot, if the kernel said it.
	TTL time.Duration
	// Cleared is a line of the same class that says that it is over.
	Cleared string
	// WhileReadOnly: it stands as long as the subject is mounted read-only, where that can be read.
	WhileReadOnly bool
	// Fits and Misses are lines that fit, and lines that look like it and do not.
	Fits, Misses []string
}

// Boot tells whether what the pattern tells of ends with the boot.
func (p Pattern) Boot() bool { return slices.Contains(p.Classes, Kernel) }

// All returns all patterns.
func All() []Pattern {
	return slices.Concat(kernelPatterns(), hardwarePatterns(), filesystemPatterns(), networkPatterns(), kubeletPatterns(), runtimePatterns(), overlayPatterns(), controlPlanePatterns(), dnsPatterns())
}

// Kind says what a line does to a pattern.
type Kind int

// What a line can do.
const (
	// Happened: the line fits.
	Happened Kind = iota
	// Reverted: the line takes one back.
	Reverted
	// Over: the line says that it is over.
	Over
)

// Hit is what one line means for one pattern.
type Hit struct {
	Pattern int
	Kind    Kind
	Subject string
}

// Matcher holds lines against patterns. It is safe for concurrent use.
type Matcher struct {
	patterns []Pattern
	classes  map[Class][]form
}

// form is one expression of a pattern.
type form struct {
	pattern  int
	kind     Kind
	literals []string
	expr     func() *regexp.Regexp
	not      func() *regexp.Regexp
}

// NewMatcher prepares patterns. Expressions are compiled when a line first comes near them: most never do.
func NewMatcher(patterns []Pattern) *Matcher {
	m := &Matcher{patterns: patterns, classes: map[Class][]form{}}
	lazily := func(expr string) func() *regexp.Regexp {
		if expr == "" {
			return nil
		}
		return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
	}
	for i, p := range patterns {
		forms := []form{{pattern: i, kind: Happened, literals: p.Literals, expr: lazily(p.Expr), not: lazily(p.Not)}}
		if p.Revert != "" {
			forms = append(forms, form{pattern: i, kind: Reverted, literals: literal(p.Revert), expr: lazily(p.Revert)})
		}
		if p.Cleared != "" {
			forms = append(forms, form{pattern: i, kind: Over, literals: literal(p.Cleared), expr: lazily(p.Cleared)})
		}
		for _, c := range p.Classes {
			m.classes[c] = append(m.classes[c], forms...)
		}
	}
	return m
}

// literal is the longest text that every line of an expression begins its match with, if there is any.
func literal(expr string) []string {
	if prefix, _ := regexp.MustCompile(expr).LiteralPrefix(); prefix != "" {
		return []string{prefix}
	}
	return nil
}

// Patterns are those that the matcher holds lines against.
func (m *Matcher) Patterns() []Pattern { return m.patterns }

// Match appends what a line of a class means to hits.
func (m *Matcher) Match(class Class, line string, hits []Hit) []Hit {
	for _, f := range m.classes[class] {
		if !near(line, f.literals) {
			continue
		}
		groups := f.expr().FindStringSubmatchIndex(line)
		if groups == nil || f.not != nil && f.not().MatchString(line) {
			continue
		}
		hits = append(hits, Hit{Pattern: f.pattern, Kind: f.kind, Subject: subject(line, groups)})
	}
	return hits
}

func near(line string, literals []string) bool {
	for _, l := range literals {
		if strings.Contains(line, l) {
			return true
		}
	}
	return len(literals) == 0
}

// maxAtLeast is how many lines a pattern can ask for.
const maxAtLeast = 32

// maxSubject bounds a subject: it becomes part of what people read.
const maxSubject = 200

func subject(line string, groups []int) string {
	for i := 2; i+1 < len(groups); i += 2 {
		if from, to := groups[i], groups[i+1]; from >= 0 && to > from {
			return line[from:min(to, from+maxSubject)]
		}
	}
	return ""
}
