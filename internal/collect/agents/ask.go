package agents

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// maxReport bounds one machine's report, in bytes. One of a machine with hundreds of pods is below
	// 300 KiB.
	maxReport = 4 << 20
	// maxBytes bounds all reports together: 5,000 of 25 KiB, which is what rules read of one.
	maxBytes = 128 << 20
)

// errTooMuch is the error of agents that give more than is read.
var errTooMuch = fmt.Errorf("the reports are larger than %d MiB together; the rest is left out", maxBytes>>20)

// told is one line of an agent: a machine's report, or why there is none.
type told struct {
	monitor.Relayed

	// err tells of a line that cannot be used.
	err error
}

// Read takes in what an agent passes on, one machine a line, until f returns false. An error means that
// the answer ended before its end.
func Read(r io.Reader, f func(node string, report *snapshot.MachineReport, err error) bool) error {
	return readLines(r, func(t told) bool {
		switch {
		case t.err != nil:
			return f(t.Node, nil, t.err)
		case t.Report == nil:
			return f(t.Node, nil, errors.New(words(t.Error)))
		default:
			return f(t.Node, t.Report, nil)
		}
	})
}

// readLines reads one Relayed a line. A line that is too long or no Relayed is told of, and the next is
// read all the same.
func readLines(r io.Reader, f func(told) bool) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, long, err := readLine(in)
		broken := err != nil && !errors.Is(err, io.EOF)
		if !broken && (len(line) > 0 || long) {
			if !f(parse(line, long)) {
				return nil
			}
		}
		if broken {
			return err
		}
		if err != nil {
			return nil //nolint:nilerr // the end of the answer is no error
		}
	}
}

func readLine(in *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxReport {
			long, line = true, nil
		}
		if !long {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, long, err
		}
	}
}

func parse(line []byte, long bool) told {
	if long {
		return told{err: fmt.Errorf("a report is longer than %d MiB", maxReport>>20)}
	}
	var t told
	if err := json.Unmarshal(line, &t.Relayed); err != nil {
		return told{Relayed: monitor.Relayed{Node: t.Node}, err: fmt.Errorf("reading a report: %w", err)}
	}
	if t.Report != nil {
		t.err = Check(t.Node, t.Report)
	}
	return t
}

// Check tells why a report cannot be used as that of a node's machine; nil where it can.
func Check(node string, r *snapshot.MachineReport) error {
	switch {
	case r.APIVersion != snapshot.MachineReportVersion:
		return fmt.Errorf("its agent speaks %q, and this program %q", words(r.APIVersion), snapshot.MachineReportVersion)
	case r.Node != node:
		return fmt.Errorf("its agent reports as node %q", words(r.Node))
	default:
		return nil
	}
}

// request asks an agent for reports of the evidence that fits the patterns; none asks for all of it.
func request(ctx context.Context, client *http.Client, keys []snapshot.EvidenceKey) (io.ReadCloser, error) {
	query := url.Values{}
	for _, k := range keys {
		query.Add("keys", string(k))
	}
	at := url.URL{Scheme: "https", Host: "agent", Path: monitor.ReportsPath, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxWords))
		return nil, fmt.Errorf("it answers %s: %s", resp.Status, words(string(text)))
	}
	return resp.Body, nil
}

// words makes another side's text fit into a sentence.
func words(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "�")), " ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + " ..."
	}
	return text
}

// cleaner takes credentials out of reports, and keeps one copy of what many machines say alike.
type cleaner struct {
	texts map[string]string
}

const (
	// maxShared is the length, in bytes, of texts that are kept once for all machines, and maxTexts their
	// number.
	maxShared = 64
	maxTexts  = 100_000
)

// clean redacts a report in place.
func (c *cleaner) clean(r *snapshot.MachineReport) {
	for i := range r.Evidence {
		e := &r.Evidence[i]
		e.Key = snapshot.EvidenceKey(c.shared(string(e.Key), false))
		e.Value = c.shared(e.Value, true)
	}
	for i := range r.Gaps {
		r.Gaps[i].Reason = c.shared(r.Gaps[i].Reason, true)
	}
}

func (c *cleaner) shared(text string, redact bool) string {
	if len(text) > maxShared {
		if redact {
			return secret.Redact(text)
		}
		return text
	}
	if known, ok := c.texts[text]; ok {
		return known
	}
	clean := text
	if redact {
		clean = secret.Redact(text)
	}
	if len(c.texts) < maxTexts {
		c.texts[text] = clean
	}
	return clean
}

// metered bounds what all agents together give.
type metered struct {
	r io.Reader
	c *collector
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.c.mu.Lock()
	m.c.left -= int64(n)
	over := m.c.left < 0
	m.c.mu.Unlock()
	if over {
		return 0, errTooMuch
	}
	return n, err
}
