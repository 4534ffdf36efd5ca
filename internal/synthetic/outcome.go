package synthetic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// MaxOutcome is how many bytes of a termination message the kubelet keeps: what a container leaves
// beyond that is cut off in the middle
// (k8s.io/kubernetes/pkg/kubelet/container, MaxContainerTerminationMessageLength).
const MaxOutcome = 4096

// Outcome is what a run leaves as its container's termination message, so that whoever started the pod
// can read the result from its status.
type Outcome struct {
	// OK tells that the scenario ran, and that nothing failed.
	OK bool `json:"ok"`
	// Errors say what failed, or why the scenario could not run.
	Errors []string `json:"errors,omitempty"`
	// Nodes are the results by node.
	Nodes []NodeResult `json:"nodes,omitempty"`
	// Notes say what is worth knowing though it is no failure.
	Notes []string `json:"notes,omitempty"`
	// Seconds that the run took.
	Seconds float64 `json:"seconds"`
}

// Encode writes the outcome as JSON of at most limit bytes. Where all is too much it leaves out, in this
// order, notes, nodes that are well, and the ends of long sentences; then it keeps the first errors and
// nodes, and says how many more there are.
func (o Outcome) Encode(limit int) []byte {
	text := o.encode()
	if len(text) <= limit {
		return text
	}
	o.Notes = nil
	ill := make([]NodeResult, 0, len(o.Nodes))
	for _, node := range o.Nodes {
		if !node.OK {
			ill = append(ill, node)
		}
	}
	o.Nodes = ill
	const sentence = 300
	o.Errors, o.Nodes = shorten(o.Errors, sentence), shortenNodes(o.Nodes, sentence)
	if text = o.encode(); len(text) <= limit {
		return text
	}
	o.Notes = []string{"there is more than fits here: the log has all of it"}
	for len(text) > limit && (len(o.Errors) > 1 || len(o.Nodes) > 0) {
		// What is said by node is mostly said in an error too.
		if len(o.Nodes) > 0 {
			o.Nodes = o.Nodes[:len(o.Nodes)*3/4]
		} else {
			o.Errors = Cut(o.Errors, max(1, len(o.Errors)*3/4))
		}
		text = o.encode()
	}
	return text
}

// encode never fails: there are only texts and numbers in it.
func (o Outcome) encode() []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	// The texts are for people, and none of them is shown as HTML from here.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(o); err != nil {
		panic(fmt.Sprintf("synthetic: encoding an outcome: %v", err))
	}
	return bytes.TrimRight(text.Bytes(), "\n")
}

// DecodeOutcome reads a termination message. It fails where another program left it.
func DecodeOutcome(text []byte) (Outcome, error) {
	var o Outcome
	if err := json.Unmarshal(text, &o); err != nil {
		return Outcome{}, fmt.Errorf("reading the outcome of a check: %w", err)
	}
	return o, nil
}

// Cut keeps the first sentences, and says in place of the others how many there are; at most most
// sentences come out, or one where most is less.
func Cut(sentences []string, most int) []string {
	most = max(1, most)
	if len(sentences) <= most {
		return sentences
	}
	kept := make([]string, 0, most)
	kept = append(kept, sentences[:most-1]...)
	return append(kept, fmt.Sprintf("and %d more", len(sentences)-len(kept)))
}

func shorten(sentences []string, most int) []string {
	short := make([]string, len(sentences))
	for i, s := range sentences {
		short[i] = shortened(s, most)
	}
	return short
}

func shortenNodes(nodes []NodeResult, most int) []NodeResult {
	for i := range nodes {
		nodes[i].Message = shortened(nodes[i].Message, most)
	}
	return nodes
}

// shortened cuts a text to at most most bytes, at the beginning of a letter.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const more = "..."
	at := most - len(more)
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return text[:at] + more
}
