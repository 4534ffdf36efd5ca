package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// The elements of JUnit's XML that consumers agree on (https://github.com/testmoapp/junitxml).
type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	junitCounts
	Suites []junitSuite `xml:"testsuite"`
}

type junitCounts struct {
	Name     string `xml:"name,attr"`
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Skipped  int    `xml:"skipped,attr"`
}

type junitSuite struct {
	junitCounts
	Timestamp string      `xml:"timestamp,attr"`
	Time      string      `xml:"time,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Error   *junitMessage `xml:"error,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",cdata"`
}

// JUnit writes a document for a CI server: each incident is a test that failed, each rule that found
// none is one that passed, or was skipped because what it reads could not be read.
func JUnit(w io.Writer, d v1alpha1.Diagnosis, o Options) error {
	suite := junitSuite{
		junitCounts: junitCounts{Name: clean(d.Cluster.Name)},
		Timestamp:   d.ObservedAt.UTC().Format("2006-01-02T15:04:05"),
		Time:        fmt.Sprintf("%.3f", d.Stats.Seconds),
	}
	said := map[string]bool{}
	for _, i := range d.Incidents {
		said[i.Code] = true
		suite.Failures++
		suite.Cases = append(suite.Cases, junitCase{
			Class: clean(i.Code), Name: clean(i.Title),
			Failure: &junitMessage{Message: clean(i.Title), Type: string(i.Severity), Text: incidentText(i, o)},
		})
	}
	for _, e := range d.Errors {
		said[e.Code] = true
		suite.Errors++
		suite.Cases = append(suite.Cases, junitCase{Class: clean(e.Code), Name: clean(e.Code), Error: &junitMessage{Message: clean(e.Reason)}})
	}
	skipped := map[string]string{}
	for _, s := range d.Skipped {
		if _, ok := skipped[s.Code]; !ok {
			skipped[s.Code] = s.Reason
		}
	}
	for _, r := range o.Rules {
		if said[r.Code] {
			continue
		}
		c := junitCase{Class: r.Code, Name: clean(r.Title)}
		if reason, ok := skipped[r.Code]; ok {
			suite.Skipped++
			c.Skipped = &junitMessage{Message: clean(reason)}
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Tests = len(suite.Cases)
	all := junitSuites{junitCounts: suite.junitCounts, Suites: []junitSuite{suite}}
	all.Name = "maek"
	data, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the diagnosis: %w", err)
	}
	_, err = io.WriteString(w, xml.Header+string(data)+"\n")
	return err
}

// incidentText is an incident as plain text, without colours.
func incidentText(i v1alpha1.IncidentDetails, o Options) string {
	o.Color = false
	p := &page{layout: layout{width: DefaultWidth}, words: wordsOf(o.Language), options: o}
	p.part(p.words.why, p.reason(i))
	p.effects(i.Chain)
	p.remedies(p.words.now, i.Remedies.Now)
	p.remedies(p.words.later, i.Remedies.Later)
	return "\n" + strings.TrimRight(string(p.out), "\n") + "\n"
}
