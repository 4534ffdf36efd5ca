package monitor

import "github.com/maek-dev/maek/internal/snapshot"

// Where an agent serves. Agents, the command line and tests agree on it here.
const (
	// Port of an agent on its machine's addresses, TCP for requests and UDP for beacons.
	Port = 10270
	// SocketPath is the unix socket at which root asks the agent of the own machine.
	SocketPath = "/run/maek/agent.sock"
	// StatePath is the agent's own folder, the only one that it writes to.
	StatePath = "/var/lib/maek/agent"
	// ReportPath serves the agent's own report: a snapshot.MachineReport.
	ReportPath = "/report"
	// ReportsPath serves its own report and those of its peers, as Relayed values, one a line, as they
	// come. The parameter keys, given any number of times, names patterns of the evidence that is wanted.
	ReportsPath = "/reports"
	// ProbePath has the agent make probes from its machine, by POST of a remote.Request: remote.Answer values,
	// one a line, as they come.
	ProbePath = "/probe"
	// DiagnosisPath serves what the rules say about the agent's machine: a v1alpha1.Diagnosis.
	DiagnosisPath = "/diagnosis"
	// MetricsPath serves metrics for Prometheus.
	MetricsPath = "/metrics"
	// HealthPath answers 200 while the agent's own loops turn. It is open to everybody and says nothing more.
	HealthPath = "/healthz"
	// KeyAnnotation on a Node holds the fingerprint of its agent's public key, by which its peers and the
	// command line know it: "sha256:" and the hexadecimal digest of its SubjectPublicKeyInfo.
	KeyAnnotation = "maek.dev/agent-key"
	// Audience of the tokens that callers show agents, and of none that the API server itself accepts: an
	// agent that was taken over gains nothing by one.
	Audience = "maek-agent"
	// ReaderAccount is the ServiceAccount in the agents' namespace that may ask them.
	ReaderAccount = "maek"
	// ProberAccount is the ServiceAccount in the agents' namespace that may have them make probes.
	ProberAccount = "maek-agent-prober"
	// Component is the value of the label app.kubernetes.io/component of the agent's pods, beside
	// app.kubernetes.io/name=maek.
	Component = "agent"
)

// Relayed is one machine's report as an agent passes it on, or why there is none.
type Relayed struct {
	// Node whose machine it is about.
	Node string `json:"node"`
	// Report of it; nil where it gave none.
	Report *snapshot.MachineReport `json:"report,omitempty"`
	// Error says why there is no report.
	Error string `json:"error,omitempty"`
}
