package diagnosis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// IgnoreAnnotation on an object asks not to be shown findings about it, about the pods of a workload,
// or about what lies in a Namespace:
//
//	maek.dev/ignore: CODE[,until=DATE][,reason=TEXT][;CODE...]
const IgnoreAnnotation = "maek.dev/ignore"

// Ignore is a request not to be shown an incident whose root is a certain finding.
type Ignore struct {
	// Code of the finding.
	Code finding.Code
	// Subject of the finding. An empty field fits every subject; a name that ends in "*" fits every
	// name that begins so.
	Subject finding.Subject
	// Until is when the request ends; zero means never.
	Until time.Time
	// Reason that was given.
	Reason string
	// Source says where it was asked for: "annotation on Node w3", "ignore.yaml".
	Source string
}

// Ignored is a finding that somebody asked not to be shown.
type Ignored struct {
	finding.Finding

	// Request that it fell under.
	Request Ignore
}

// ParseIgnore reads the value of an annotation. The error says what to write instead.
func ParseIgnore(value string) ([]Ignore, error) {
	var out []Ignore
	for request := range strings.SplitSeq(value, ";") {
		if strings.TrimSpace(request) == "" {
			continue
		}
		ignore, err := parseRequest(request)
		if err != nil {
			return nil, err
		}
		out = append(out, ignore)
	}
	if len(out) == 0 {
		return nil, errors.New("it is empty; write CODE[,until=DATE][,reason=TEXT]")
	}
	return out, nil
}

func parseRequest(request string) (Ignore, error) {
	code, rest, _ := strings.Cut(strings.TrimSpace(request), ",")
	ignore := Ignore{Code: finding.Code(strings.TrimSpace(code))}
	for rest != "" {
		var part string
		// The reason is prose, commas included, and so it is the last.
		if strings.HasPrefix(strings.TrimSpace(rest), "reason=") {
			part, rest = rest, ""
		} else {
			part, rest, _ = strings.Cut(rest, ",")
		}
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "reason":
			ignore.Reason = strings.TrimSpace(value)
		case "until":
			until, err := ParseUntil(strings.TrimSpace(value))
			if err != nil {
				return Ignore{}, err
			}
			ignore.Until = until
		default:
			return Ignore{}, fmt.Errorf("%q is unknown in it; write CODE[,until=DATE][,reason=TEXT]", name)
		}
	}
	return ignore, nil
}

// ParseUntil reads the end of a request: a date, which is its last day (UTC), or a time in RFC 3339.
func ParseUntil(value string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, value); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, fmt.Errorf("until=%q is no date; write it as 2026-12-31 or 2026-12-31T18:00:00Z", value)
	}
	return at, nil
}

// requests are all that was asked to be ignored.
type requests struct {
	general []Ignore
	bySelf  map[finding.Subject][]Ignore
	skips   []finding.Skip
}

// requestsIn gathers the annotations of a snapshot beside the requests that were given. What cannot
// be read, or names no rule, is a skip: a request that does nothing must not look as if it did.
func requestsIn(s *snapshot.Snapshot, given []Ignore, rules []rule.Rule) requests {
	r := requests{bySelf: map[finding.Subject][]Ignore{}}
	known := map[finding.Code]bool{}
	for _, one := range rules {
		known[one.Code] = true
	}
	check := func(i Ignore) bool {
		if !known[i.Code] {
			r.skips = append(r.skips, finding.Skip{Reason: finding.Textf(
				"%s: there is no code %q to ignore; kubectl maek rules lists them", "%s: 무시할 코드 %q가 없습니다. 코드 목록은 kubectl maek rules로 확인합니다", i.Source, i.Code)})
		}
		return known[i.Code]
	}
	for _, i := range given {
		if check(i) {
			r.general = append(r.general, i)
		}
	}
	read := func(subject finding.Subject, value string) {
		source := "annotation " + IgnoreAnnotation + " on " + finding.Named(subject)
		asked, err := ParseIgnore(value)
		if err != nil {
			r.skips = append(r.skips, finding.Skip{Reason: finding.Textf("%s: %v", "%s: %v", source, err)})
			return
		}
		for _, i := range asked {
			i.Source = source
			if check(i) {
				r.bySelf[subject] = append(r.bySelf[subject], i)
			}
		}
	}
	for _, k := range s.Kinds() {
		s.Each(k, func(o snapshot.Object) {
			if value, ok := o.GetAnnotations()[IgnoreAnnotation]; ok {
				read(finding.Subject{Kind: k.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}, value)
			}
		})
	}
	for _, c := range s.CustomResources() {
		if value, ok := c.Annotations[IgnoreAnnotation]; ok {
			read(c.Subject(), value)
		}
	}
	return r
}

// find returns the request that a finding falls under.
func (r requests) find(s *snapshot.Snapshot, f finding.Finding) (Ignore, bool) {
	fits := func(i Ignore) bool {
		return i.Code == f.Code && (i.Until.IsZero() || s.Now().Before(i.Until)) && i.covers(f.Subject)
	}
	if i := slices.IndexFunc(r.general, fits); i >= 0 {
		return r.general[i], true
	}
	if len(r.bySelf) == 0 {
		return Ignore{}, false
	}
	places := []finding.Subject{f.Subject}
	if f.Subject.Kind == "Pod" {
		if p, ok := snapshot.Get[*corev1.Pod](s, f.Subject.Namespace, f.Subject.Name); ok {
			places = append(places, s.Workload(p))
		}
	}
	if f.Subject.Namespace != "" {
		places = append(places, finding.Subject{Kind: "Namespace", Name: f.Subject.Namespace})
	}
	for _, place := range places {
		for _, i := range r.bySelf[place] {
			if fits(i) {
				return i, true
			}
		}
	}
	return Ignore{}, false
}

func (i Ignore) covers(s finding.Subject) bool {
	name, begins := strings.CutSuffix(i.Subject.Name, "*")
	switch {
	case i.Subject.Kind != "" && i.Subject.Kind != s.Kind,
		i.Subject.Namespace != "" && i.Subject.Namespace != s.Namespace:
		return false
	case begins:
		return strings.HasPrefix(s.Name, name)
	default:
		return i.Subject.Name == "" || i.Subject.Name == s.Name
	}
}

// ignoreIncidents takes out of a diagnosis the incidents whose roots somebody asked not to be shown,
// and returns them. What is ignored still explains: its effects do not become incidents of their own.
func (d *Diagnosis) ignoreIncidents(r requests) []finding.Incident {
	var quiet []finding.Incident
	d.Incidents = slices.DeleteFunc(d.Incidents, func(i finding.Incident) bool {
		request, ok := r.find(d.Snapshot, i.Root)
		if ok {
			quiet = append(quiet, i)
			d.Ignored = append(d.Ignored, Ignored{Finding: i.Root, Request: request})
		}
		return ok
	})
	return quiet
}
