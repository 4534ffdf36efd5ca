package probe

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/probe"
)

// verdict is how something stands.
type verdict string

// The verdicts, the best first.
const (
	passing verdict = "Passing"
	unknown verdict = "Unknown"
	failing verdict = "Failing"
)

// worse is the worse of two verdicts.
func worse(a, b verdict) verdict {
	rank := map[verdict]int{passing: 0, unknown: 1, failing: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// document is what -o json prints. Its texts are in the language that was asked for.
type document struct {
	metav1.TypeMeta `json:",inline"`

	// Target is what was asked for: "Deployment shop/front".
	Target string `json:"target"`
	// ObservedAt is when the cluster was read.
	ObservedAt metav1.Time `json:"observedAt"`
	// Verdict is the worst of all probes'.
	Verdict verdict `json:"verdict"`
	// Pods are the ones that were looked at, the worst first.
	Pods []podReport `json:"pods"`
	// MorePods is how many others the target has.
	MorePods int `json:"morePods,omitempty"`
	// Missing is what could not be read or asked.
	Missing []string `json:"missing,omitempty"`

	// loops tells that a container is killed again and again while it starts.
	loops bool
}

// podReport is what there is to say of one pod.
type podReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Node      string `json:"node,omitempty"`
	IP        string `json:"ip,omitempty"`
	Phase     string `json:"phase,omitempty"`
	Ready     bool   `json:"ready"`
	// Notes are what keeps probes from being asked, or from counting.
	Notes []string `json:"notes,omitempty"`
	// Gates are the pod's readiness gates.
	Gates      []gate            `json:"readinessGates,omitempty"`
	Containers []containerReport `json:"containers"`
}

// gate is a condition that somebody else has to set before the pod is ready.
type gate struct {
	Condition string `json:"condition"`
	Status    string `json:"status"`
	Message   string `json:"message"`
}

// containerReport is what there is to say of one container.
type containerReport struct {
	Name     string `json:"name"`
	Sidecar  bool   `json:"sidecar,omitempty"`
	State    string `json:"state"`
	Restarts int    `json:"restarts"`
	Started  bool   `json:"started"`
	Ready    bool   `json:"ready"`
	// None says what it comes to that there is no probe.
	None   string        `json:"none,omitempty"`
	Probes []probeReport `json:"probes,omitempty"`
}

// probeReport is what there is to say of one probe.
type probeReport struct {
	Kind    probe.Kind `json:"kind"`
	Verdict verdict    `json:"verdict"`
	// Asks is what is asked.
	Asks string `json:"asks"`
	// Means is what the spec says, in words.
	Means []string `json:"means"`
	// Seen is what the kubelet has told.
	Seen []string `json:"seen"`
	// Counts are from Events, and from the kubelet's metrics where these could be read.
	Counts counts `json:"counts"`
	// Now is what it answers.
	Now []answer `json:"now,omitempty"`
	// NotAsked says why it was not.
	NotAsked string `json:"notAsked,omitempty"`
	// NotFromNode says why it was asked from elsewhere, and not from the node, where the kubelet asks from.
	NotFromNode string `json:"notFromNode,omitempty"`
	// Differs says where two vantages were answered differently, and what can make that.
	Differs string `json:"differs,omitempty"`
	// Consequence is what becomes of it.
	Consequence []string `json:"consequence"`
}

// counts of what the kubelet has told of a probe. Events are lossy, so that theirs are lower bounds.
type counts struct {
	Failed    int `json:"failed"`
	Discarded int `json:"discarded"`
	Warned    int `json:"warned"`
	// Killed is how often the container was killed for this probe.
	Killed int          `json:"killed"`
	Last   *metav1.Time `json:"last,omitempty"`
	// Metrics are the kubelet's own counters since it knows the pod, by result; nil where they could not be read.
	Metrics map[string]int `json:"metrics,omitempty"`
}

// answer is what a probe answers to somebody.
type answer struct {
	// From is the vantage: "node", "port-forward" or "exec".
	From vantage `json:"from"`
	// Kubelet is what the kubelet would make of it, and Strict what somebody would who wants to know whether
	// it works.
	Kubelet judgement `json:"kubelet"`
	Strict  judgement `json:"strict"`
	// Difference says why these two are not the same.
	Difference probe.Difference `json:"difference,omitempty"`
	// Milliseconds that it took, and that it may take.
	Milliseconds        int64 `json:"milliseconds"`
	TimeoutMilliseconds int64 `json:"timeoutMilliseconds"`
	// Text is all of that in words.
	Text string `json:"text"`
}

// judgement is a verdict over one answer.
type judgement struct {
	Result    probe.Result `json:"result"`
	Message   string       `json:"message,omitempty"`
	Discarded bool         `json:"discarded,omitempty"`
}

// vantage is from where a probe was asked.
type vantage string

// The vantages.
const (
	byNode    vantage = "node"
	byForward vantage = "port-forward"
	byExec    vantage = "exec"
)
