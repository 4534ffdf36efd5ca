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
	// KubeletConfig asks for the configuration that the kubelet of the node Name runs with, as the API
	// server passes on its /configz: a KubeletConfiguration in JSON (k8s.io/kubelet/config/v1beta1)
	// without staticPodURLHeader, which may hold credentials.
	KubeletConfig QuestionKind = "KubeletConfig"
	// KubeletStats asks for what the kubelet of the node Name measures, as the API server passes on its
	// /stats/summary: a Summary in JSON (k8s.io/kubelet/pkg/apis/stats/v1alpha1). Of the node it keeps
	// cpu, memory, fs, runtime, rlimit and of systemContainers cpu and memory; of pods
	// memory.workingSetBytes and ephemeral-storage, for the ten of each that have most, and the volumes
	// of PersistentVolumeClaims, at most the hundred fullest.
	KubeletStats QuestionKind = "KubeletStats"
	// ContainerMetrics asks for what the kubelet of a pod's node has counted of one of its containers, as the
	// API server passes on its /metrics/probes and /metrics/cadvisor: those of ContainerMetricFamilies, in
	// the Prometheus text format. CPU periods are missing where the container has no limit of CPU, and where
	// the second page was not read.
	ContainerMetrics QuestionKind = "ContainerMetrics"
	// ObjectCount asks how many objects of Group and Resource a LIST returns, in decimal: by
	// quorum, or from the watch cache where Cached is set. Namespace confines it.
	ObjectCount QuestionKind = "ObjectCount"
	// StoredObject asks whether an object of Group and Resource is in etcd, by getting its metadata: lists
	// may come from the watch cache, which does not notice that the store behind it was emptied
	// (k8s.io/apiserver/pkg/storage/cacher, ConsistentListFromCache), and a GET by name does not. Absent
	// where it is not there.
	StoredObject QuestionKind = "StoredObject"
	// AccessReview asks whether User, or the one who asks where User is empty, may do Verb with
	// Resource of Group, in Namespace and to Name where they are set: "allowed" or "denied". Error
	// quotes the authorizer's reason where it gives one.
	AccessReview QuestionKind = "AccessReview"
	// DryRunCreate asks whether a minimal object of Group and Resource would be admitted in Namespace.
	// Nothing is stored. Rejected carries the words of whoever refused.
	DryRunCreate QuestionKind = "DryRunCreate"
	// Dial asks whether an address of the cluster's API server, host:port in Name, takes TCP connections
	// and speaks TLS, trusted or not. The text is the end of the certificate that it shows, RFC 3339,
	// where it shows one. Other addresses are not dialed.
	Dial QuestionKind = "Dial"
	// ConfigMapValue asks for the value of a Key of a ConfigMap.
	ConfigMapValue QuestionKind = "ConfigMapValue"
	// CertificateOf asks for the certificates, never the key, of a Secret of type kubernetes.io/tls, in
	// PEM.
	CertificateOf QuestionKind = "CertificateOf"
	// APIServerMetrics asks for those of the API server's metrics that rules read (see
	// MetricFamilies), in the Prometheus text format.
	APIServerMetrics QuestionKind = "APIServerMetrics"
)

// Question is something a rule wants to know that no list shows. It is comparable; two rules that
// ask the same get one answer.
type Question struct {
	// Kind of question.
	Kind QuestionKind `json:"kind"`
	// Namespace of the object that it is about; empty for what has none.
	Namespace string `json:"namespace,omitempty"`
	// Name of the object that it is about: a pod, a node.
	Name string `json:"name,omitempty"`
	// Container of a pod.
	Container string `json:"container,omitempty"`
	// Previous asks for the log of the container's previous run.
	Previous bool `json:"previous,omitempty"`
	// Group of Resource; empty for the core group.
	Group string `json:"group,omitempty"`
	// Resource in the plural, a subresource after a slash: "pods", "pods/log".
	Resource string `json:"resource,omitempty"`
	// Verb of an access review: "list".
	Verb string `json:"verb,omitempty"`
	// User of an access review: "system:serviceaccount:shop:api".
	User string `json:"user,omitempty"`
	// Key of a ConfigMap.
	Key string `json:"key,omitempty"`
	// Cached asks the API server's watch cache instead of etcd.
	Cached bool `json:"cached,omitempty"`
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
	// Rejected: it would not be admitted; Error says why.
	Rejected Outcome = "rejected"
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
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Container, b.Container), compareBools(a.Previous, b.Previous),
		cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Verb, b.Verb),
		cmp.Compare(a.User, b.User), cmp.Compare(a.Key, b.Key), compareBools(a.Cached, b.Cached),
	)
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
