package collect

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// AnswerBytes is the size that the text of an answer has at most; snapshot.Answer promises it.
const AnswerBytes = 64 << 10

// CleanAnswer makes an answer's text what snapshot.Answer and the kind of the question promise: valid
// UTF-8, at most AnswerBytes, without credentials. A text that has no meaning when it is cut becomes an
// error where it is too long or is not what the kind asks for. Cleaning twice changes nothing.
func CleanAnswer(q snapshot.Question, a snapshot.Answer) snapshot.Answer {
	a.Error = secret.Redact(strings.ToValidUTF8(a.Error, "\uFFFD"))
	if a.Text == "" {
		return a
	}
	text, err := a.Text, error(nil)
	switch q.Kind {
	case snapshot.ContainerLog:
		text, _ = LogTail(strings.NewReader(text))
	case snapshot.KubeletConfig:
		text, err = cleanJSON(text, "staticPodURLHeader")
	case snapshot.KubeletStats:
		text, err = cleanJSON(text)
	case snapshot.ContainerMetrics:
		text, err = ContainerMetrics(strings.NewReader(text), q)
	case snapshot.CertificateOf:
		text, err = Certificates([]byte(text))
	case snapshot.APIServerMetrics:
		text, err = Metrics(strings.NewReader(text))
	default:
		text = Head(text)
	}
	if err == nil && len(text) > AnswerBytes {
		err = fmt.Errorf("the answer is longer than %d KiB", AnswerBytes>>10)
	}
	if err != nil {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: err.Error(), At: a.At}
	}
	a.Text = text
	return a
}

// Head redacts a text and keeps what fits into an answer, from its beginning.
func Head(text string) string {
	text = secret.Redact(strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > AnswerBytes {
		text = strings.ToValidUTF8(text[:AnswerBytes], "")
	}
	return text
}

// cleanJSON drops the named fields of an object and redacts every string in it, each by itself: what
// looks like a credential in JSON's own syntax, such as "tlsPrivateKeyFile":"/path", is none here.
func cleanJSON(text string, drop ...string) (string, error) {
	var object map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return "", fmt.Errorf("reading the answer as JSON: %w", err)
	}
	for _, name := range drop {
		delete(object, name)
	}
	clean, err := json.Marshal(redactValues(object))
	if err != nil {
		return "", fmt.Errorf("writing the answer as JSON: %w", err)
	}
	return string(clean), nil
}

func redactValues(v any) any {
	switch v := v.(type) {
	case string:
		return secret.Redact(v)
	case []any:
		for i := range v {
			v[i] = redactValues(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = redactValues(v[key])
		}
	}
	return v
}

// Certificates keeps of PEM data the blocks that are certificates, without their headers; keys and all
// else are dropped. The error tells that there is none.
func Certificates(data []byte) (string, error) {
	var out bytes.Buffer
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			_ = pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}) // a Buffer takes everything
		}
		clear(block.Bytes)
	}
	if out.Len() == 0 {
		return "", errNoCertificate
	}
	return out.String(), nil
}

// errNoCertificate is the error of data that should hold certificates.
var errNoCertificate = errors.New("it holds no certificate")

// ContainerMetrics reads metrics in the Prometheus text format and keeps the samples of
// snapshot.ContainerMetricFamilies that are about the container that a question names. It holds no more than it
// keeps.
func ContainerMetrics(r io.Reader, q snapshot.Question) (string, error) {
	about := []string{`namespace="` + q.Namespace + `"`, `pod="` + q.Name + `"`, `container="` + q.Container + `"`}
	var out strings.Builder
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16*metricsLine)
	for lines.Scan() {
		line := strings.ToValidUTF8(lines.Text(), "\uFFFD")
		name, labels, ok := strings.Cut(line, "{")
		if !ok || !slices.Contains(snapshot.ContainerMetricFamilies, name) || out.Len()+len(line)+1 > AnswerBytes {
			continue
		}
		labels, _, _ = strings.Cut(labels, "}")
		own := strings.Split(labels, ",")
		if !slices.ContainsFunc(about, func(label string) bool { return !slices.Contains(own, label) }) {
			out.WriteString(line + "\n")
		}
	}
	if err := lines.Err(); err != nil {
		return out.String(), fmt.Errorf("reading metrics of a container: %w", err)
	}
	return out.String(), nil
}

// metricsLine bounds a line of metrics that is kept; an API server's own are some hundred bytes.
const metricsLine = 4 << 10

// Metrics reads metrics in the Prometheus text format and keeps the families that rules read
// (snapshot.MetricFamilies), of summaries and histograms their sum and count. It holds no more than it
// keeps. Where that is longer than an answer, samples of zero are left out, and what still does not fit
// is cut off after a whole line.
func Metrics(r io.Reader) (string, error) {
	var kept []string
	size := 0
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		if text := strings.TrimRight(string(line), "\r\n"); len(text) <= metricsLine && keptMetric(text) && size < 8*AnswerBytes {
			kept = append(kept, secret.Redact(strings.ToValidUTF8(text, "\uFFFD")))
			size += len(text) + 1
		}
		for long {
			_, err = lines.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("reading metrics: %w", err)
		}
	}
	if size > AnswerBytes {
		kept = slices.DeleteFunc(kept, func(line string) bool { return !strings.HasPrefix(line, "#") && strings.HasSuffix(line, " 0") })
	}
	var out strings.Builder
	for _, line := range kept {
		if out.Len()+len(line)+1 > AnswerBytes {
			break
		}
		out.WriteString(line + "\n")
	}
	return out.String(), nil
}

// keptMetric tells whether a line is a sample of a family that rules read, or its HELP or TYPE.
func keptMetric(line string) bool {
	if comment, ok := strings.CutPrefix(line, "# "); ok {
		what, rest, _ := strings.Cut(comment, " ")
		name, _, _ := strings.Cut(rest, " ")
		return (what == "HELP" || what == "TYPE") && slices.Contains(snapshot.MetricFamilies, name)
	}
	end := strings.IndexAny(line, "{ ")
	if end < 0 {
		return false
	}
	name := line[:end]
	name = strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
	return slices.Contains(snapshot.MetricFamilies, line[:end]) || slices.Contains(snapshot.MetricFamilies, name)
}
