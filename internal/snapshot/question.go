package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// QuestionKind says what a question asks.
type QuestionKind string

// The kinds of questions. All of them only read.
const (
	// ContainerLog asks for the last lines of a container's log.
	ContainerLog QuestionKind = "ContainerLog"
	// KubeletConnection asks whether the API server can open a connection to a node's kubelet.
	KubeletConnection QuestionKind = "KubeletConnection"
)

// Question is something a rule wants to know that no list shows. It is comparable; two rules that
// ask the same get one answer.
type Question struct {
	// Kind of question.
	Kind QuestionKind `json:"kind"`
	// Namespace of the object that it is about; empty for what has none.
	Namespace string `json:"namespace,omitempty"`
	// Name of the object that it is about: a pod, a node.
	Name string `json:"name"`
	// Container of a pod.
	Container string `json:"container,omitempty"`
	// Previous asks for the log of the container's previous run.
	Previous bool `json:"previous,omitempty"`
}

// Outcome says how a question was answered.
type Outcome string

// The outcomes of a question.
const (
	// Answered: the answer is in Text, which may be empty.
	Answered Outcome = "answered"
	// Refused: somebody at the address refused the connection, so the machine is there.
	Refused Outcome = "refused"
	// TimedOut: nothing came back.
	TimedOut Outcome = "timed out"
	// Denied: this user may not ask.
	Denied Outcome = "denied"
	// Absent: what was asked about does not exist.
	Absent Outcome = "absent"
	// Errored: the question failed in another way.
	Errored Outcome = "errored"
)

// Answer to a question.
type Answer struct {
	// Outcome of asking.
	Outcome Outcome `json:"outcome"`
	// Text of the answer, valid UTF-8, at most 64 KiB.
	Text string `json:"text,omitempty"`
	// Error in the words of whoever refused or failed.
	Error string `json:"error,omitempty"`
	// At is when it was asked, by the snapshot's clock.
	At time.Time `json:"at,omitzero"`
}

// Answer to a question; false where it was not asked.
func (s *Snapshot) Answer(q Question) (Answer, bool) {
	a, ok := s.answers[q]
	return a, ok
}

// Asked returns every question that has an answer, in a fixed order.
func (s *Snapshot) Asked() []Question {
	return slices.SortedFunc(maps.Keys(s.answers), CompareQuestions)
}

// CompareQuestions orders questions.
func CompareQuestions(a, b Question) int {
	previous := func(q Question) int {
		if q.Previous {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Container, b.Container), cmp.Compare(previous(a), previous(b)),
	)
}
