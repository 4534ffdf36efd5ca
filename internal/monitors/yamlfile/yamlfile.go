// Package yamlfile reads YAML files that Kubernetes' programs load, and says of one that they refuse
// on which line the mistake is.
package yamlfile

import (
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/secret"
)

// Mistake is something wrong with a file.
type Mistake struct {
	// Text is what the decoder said, without the line.
	Text string
	// Line is where, counted from 1; zero where it cannot be told.
	Line int
	// Quote is that line, without the space around it and without the value of an environment variable.
	Quote string
}

var (
	atLine = regexp.MustCompile(`\bline (\d+):`)
	// ofField are the decoders' words for a field of the wrong type, and for one that they do not know
	// (encoding/json, UnmarshalTypeError; sigs.k8s.io/json, strict errors).
	ofField = regexp.MustCompile(`(?:struct field [^ ]*?|unknown field "|duplicate field "|key ")([A-Za-z0-9_-]+)(?:"| of type)`)
	// variable is an environment variable's value in a Pod. It may be a secret, and its name, which could
	// tell, stands on another line.
	variable = regexp.MustCompile(`(\bvalue["']?:\s*).+`)
)

// Decode reads data as the kubelet does. What is refused keeps the file from being used at all; what is
// ignored (fields that are unknown or there twice) is passed over with a line in a log at most
// (k8s.io/kubernetes/pkg/kubelet/kubeletconfig/util/codec, DecodeKubeletConfiguration;
// k8s.io/kubernetes/pkg/kubelet/config/common.go, tryDecodeSinglePod).
func Decode(data []byte, into any) (refused, ignored *Mistake) {
	if err := yaml.Unmarshal(data, into); err != nil {
		return mistake(data, err), nil
	}
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		return nil, mistake(data, err)
	}
	return nil, nil
}

func mistake(data []byte, err error) *Mistake {
	text := err.Error()
	for _, prefix := range []string{"error converting YAML to JSON: ", "error unmarshaling JSON: ", "while decoding JSON: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	text = strings.Join(strings.Fields(text), " ")
	m := &Mistake{}
	lines := strings.Split(string(data), "\n")
	if found := atLine.FindStringSubmatch(text); found != nil {
		m.Line, _ = strconv.Atoi(found[1])
		text = strings.Replace(text, found[0]+" ", "", 1)
	} else if found := ofField.FindStringSubmatch(text); found != nil {
		m.Line = lineOf(lines, found[1])
	}
	m.Line = min(m.Line, len(lines))
	for m.Line > 1 && strings.TrimSpace(lines[m.Line-1]) == "" {
		m.Line-- // The decoder misses something only once it has read on.
	}
	if m.Line > 0 {
		m.Quote = variable.ReplaceAllString(strings.TrimSpace(lines[m.Line-1]), "${1}"+secret.Blot)
	}
	m.Text = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(text, "yaml: "), "unmarshal errors: "))
	return m
}

// lineOf is the only line that sets a field; zero where several do, or none.
func lineOf(lines []string, field string) int {
	at := 0
	for i, line := range lines {
		key, _, ok := strings.Cut(strings.TrimLeft(line, " \t-"), ":")
		if !ok || strings.Trim(key, `"'`) != field {
			continue
		}
		if at != 0 {
			return 0
		}
		at = i + 1
	}
	return at
}
