package remote

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/maek-dev/maek/internal/probe"
)

// maxLine is the longest line of an answer, in bytes: a body of MaxBody, and the verdicts and headers beside it.
const maxLine = 4 << 20

// Head is the first line of what comes back.
type Head struct {
	// APIVersion is Version.
	APIVersion string `json:"apiVersion"`
	// Node on whose machine the probes are made.
	Node string `json:"node"`
}

// Answer is what one probe came to.
type Answer struct {
	// Index of the probe in the request.
	Index int `json:"index"`
	// Outcome of the probe; nil where it was not made.
	Outcome *Outcome `json:"outcome,omitempty"`
	// Unasked says why it was not: that is no word about who was to be asked.
	Unasked string `json:"unasked,omitempty"`
}

// Outcome is a probe.Outcome as it is sent. What others wrote is in bytes, for it need be no text.
type Outcome struct {
	Kubelet      Verdict          `json:"kubelet"`
	Strict       Verdict          `json:"strict"`
	Difference   probe.Difference `json:"difference,omitempty"`
	Latency      time.Duration    `json:"latencyNanoseconds"`
	Phases       Phases           `json:"phases"`
	HTTP         *HTTPAnswer      `json:"http,omitempty"`
	Records      []string         `json:"records,omitempty"`
	Certificates []Certificate    `json:"certificates,omitempty"`
	EndsFirst    *Certificate     `json:"endsFirst,omitempty"`
	Cause        probe.Cause      `json:"cause,omitempty"`
}

// Verdict is a probe.Verdict.
type Verdict struct {
	Result    probe.Result `json:"result"`
	Message   []byte       `json:"message,omitempty"`
	Discarded bool         `json:"discarded,omitempty"`
}

// Phases are a probe.Phases, in nanoseconds.
type Phases struct {
	Resolve time.Duration `json:"resolve,omitempty"`
	Connect time.Duration `json:"connect,omitempty"`
	TLS     time.Duration `json:"tls,omitempty"`
	Wait    time.Duration `json:"wait,omitempty"`
	Read    time.Duration `json:"read,omitempty"`
}

// HTTPAnswer is a probe.HTTPAnswer.
type HTTPAnswer struct {
	Status int                 `json:"status"`
	Header map[string][][]byte `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
	Cut    bool                `json:"cut,omitempty"`
	URL    string              `json:"url,omitempty"`
}

// Certificate is a probe.Certificate.
type Certificate struct {
	Subject   []byte        `json:"subject,omitempty"`
	Issuer    []byte        `json:"issuer,omitempty"`
	Names     []string      `json:"names,omitempty"`
	NotBefore time.Time     `json:"notBefore"`
	NotAfter  time.Time     `json:"notAfter"`
	Left      time.Duration `json:"leftNanoseconds"`
}

// FromOutcome writes an outcome down: all of it but its Err, which is for the program that made it.
func FromOutcome(o probe.Outcome) Outcome {
	out := Outcome{
		Kubelet: fromVerdict(o.Kubelet), Strict: fromVerdict(o.Strict), Difference: o.Difference,
		Latency: o.Latency, Phases: Phases(o.Phases), Records: o.Records, Cause: o.Cause,
	}
	if h := o.HTTP; h != nil {
		out.HTTP = &HTTPAnswer{Status: h.Status, Body: []byte(h.Body), Cut: h.Cut}
		if h.URL != nil {
			out.HTTP.URL = h.URL.String()
		}
		if h.Header != nil {
			out.HTTP.Header = make(map[string][][]byte, len(h.Header))
		}
		for name, values := range h.Header {
			for _, value := range values {
				out.HTTP.Header[name] = append(out.HTTP.Header[name], []byte(value))
			}
		}
	}
	for _, c := range o.Certificates {
		out.Certificates = append(out.Certificates, fromCertificate(c))
	}
	if o.EndsFirst != nil {
		out.EndsFirst = new(fromCertificate(*o.EndsFirst))
	}
	return out
}

func fromCertificate(c probe.Certificate) Certificate {
	return Certificate{
		Subject: []byte(c.Subject), Issuer: []byte(c.Issuer), Names: c.Names, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Left: c.Left,
	}
}

func fromVerdict(v probe.Verdict) Verdict {
	return Verdict{Result: v.Result, Message: []byte(v.Message), Discarded: v.Discarded}
}

// Outcome reads an outcome back. The error says what of it cannot be.
func (o Outcome) Outcome() (probe.Outcome, error) {
	out := probe.Outcome{
		Kubelet: o.Kubelet.verdict(), Strict: o.Strict.verdict(), Difference: o.Difference,
		Latency: o.Latency, Phases: probe.Phases(o.Phases), Records: o.Records, Cause: o.Cause,
	}
	for _, v := range []probe.Verdict{out.Kubelet, out.Strict} {
		switch v.Result {
		case probe.Success, probe.Warning, probe.Failure, probe.Unknown:
		default:
			return probe.Outcome{}, fmt.Errorf("an outcome has the result %.40q, which is none", v.Result)
		}
	}
	if o.Latency < 0 {
		return probe.Outcome{}, errors.New("an outcome took less than no time")
	}
	if h := o.HTTP; h != nil {
		out.HTTP = &probe.HTTPAnswer{Status: h.Status, Body: string(h.Body), Cut: h.Cut}
		if h.URL != "" {
			at, err := url.Parse(h.URL)
			if err != nil {
				return probe.Outcome{}, fmt.Errorf("reading who answered: %w", err)
			}
			out.HTTP.URL = at
		}
		if h.Header != nil {
			out.HTTP.Header = make(http.Header, len(h.Header))
		}
		for name, values := range h.Header {
			for _, value := range values {
				out.HTTP.Header[name] = append(out.HTTP.Header[name], string(value))
			}
		}
	}
	for _, c := range o.Certificates {
		out.Certificates = append(out.Certificates, c.certificate())
	}
	if o.EndsFirst != nil {
		out.EndsFirst = new(o.EndsFirst.certificate())
	}
	return out, nil
}

func (c Certificate) certificate() probe.Certificate {
	return probe.Certificate{
		Subject: string(c.Subject), Issuer: string(c.Issuer), Names: c.Names, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Left: c.Left,
	}
}

func (v Verdict) verdict() probe.Verdict {
	return probe.Verdict{Result: v.Result, Message: string(v.Message), Discarded: v.Discarded}
}

// ReadAnswers reads what came back to a request of n probes by a node's agent, and tells of each probe once,
// until f returns false. An error means that the answer is none, or that it ended before its end.
func ReadAnswers(r io.Reader, node string, n int, f func(Answer) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var head Head
	if !lines.Scan() {
		return fmt.Errorf("reading the answer: %w", ended(lines))
	}
	if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch {
	case head.APIVersion != Version:
		return fmt.Errorf("its agent speaks %.40q, and this program %q", head.APIVersion, Version)
	case head.Node != node:
		return fmt.Errorf("its agent answers as node %.100q", head.Node)
	}
	seen := make([]bool, n)
	for left := n; left > 0; left-- {
		if !lines.Scan() {
			return fmt.Errorf("reading the answer: %w", ended(lines))
		}
		var a Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		if a.Index < 0 || a.Index >= n || seen[a.Index] || (a.Outcome == nil) == (a.Unasked == "") {
			return fmt.Errorf("reading the answer: probe %d is none that was asked for, or was answered twice", a.Index)
		}
		seen[a.Index] = true
		if !f(a) {
			return nil
		}
	}
	return nil
}

// ended is why there is no further line.
func ended(lines *bufio.Scanner) error {
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
