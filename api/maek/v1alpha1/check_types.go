package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The condition types of a Check. All three are present from the first reconciliation on, Unknown
// until something is known: readers take an absent condition for a good one.
const (
	// CheckReady is True while the check is accepted, scheduled, and has a result of its current
	// generation that is not older than two periods. It says nothing about the target.
	CheckReady = "Ready"
	// CheckHealthy is the verdict: True, False, or Unknown while nobody can tell.
	CheckHealthy = "Healthy"
	// CheckStalled is True while the check cannot run until somebody changes something: a scenario
	// that does not exist, a pod that is refused, a Secret that is missing.
	CheckStalled = "Stalled"
)

// Check asks the same question again and again, and keeps the verdict. The question is a probe
// (httpGet, tcpSocket, grpc, exec, dns, tls), a scenario that acts on the cluster (synthetic), or
// a pod of the user's own that answers with its exit code (podTemplate).
//
// A Check asks only within its own namespace, unless a CheckPolicy allows its namespace more. It
// runs pods there as their service accounts and Pod Security allow: grant the creation of Checks as
// you would grant the creation of pods. Commands in containers, and what is read of Secrets, need a
// RoleBinding in the namespace beside it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=maek
// +kubebuilder:printcolumn:name="Healthy",type=string,JSONPath=`.status.conditions[?(@.type=="Healthy")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Healthy")].reason`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.conditions[?(@.type=="Healthy")].lastTransitionTime`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,priority=1
// +kubebuilder:printcolumn:name="Period",type=integer,JSONPath=`.spec.periodSeconds`,priority=1
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Healthy")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Check struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what to ask, of whom, how often, and which answer is good.
	Spec CheckSpec `json:"spec"`
	// Status is what the operator has learned.
	// +optional
	Status CheckStatus `json:"status,omitzero"`
}

// CheckList is a list of Check objects.
//
// +kubebuilder:object:root=true
type CheckList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// Items of the list.
	Items []Check `json:"items"`
}

// CheckSpec says what to ask, of whom, how often, and which answer is good.
//
// +kubebuilder:validation:XValidation:rule="[has(self.httpGet), has(self.tcpSocket), has(self.grpc), has(self.exec), has(self.dns), has(self.tls), has(self.synthetic), has(self.podTemplate), has(self.target) && has(self.target.url)].filter(x, x).size() == 1",message="write exactly one of httpGet, tcpSocket, grpc, exec, dns, tls, synthetic and podTemplate, or target.url alone, which is asked with GET; a second question is a second Check"
// +kubebuilder:validation:XValidation:rule="has(self.periodSeconds) != has(self.schedule)",message="write either periodSeconds (every so many seconds) or schedule (cron fields), not both"
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.schedule)",message="timeZone belongs to schedule; with periodSeconds leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.timeoutSeconds) || !has(self.periodSeconds) || self.timeoutSeconds < self.periodSeconds",message="timeoutSeconds must be less than periodSeconds, so that one run ends before the next begins; write a longer periodSeconds or a shorter timeoutSeconds"
// +kubebuilder:validation:XValidation:rule="!has(self.httpGet) || has(self.target) != (has(self.httpGet.host) && self.httpGet.host.size() > 0)",message="say once whom httpGet asks: write target, or httpGet.host"
// +kubebuilder:validation:XValidation:rule="!has(self.tcpSocket) || has(self.target) != (has(self.tcpSocket.host) && self.tcpSocket.host.size() > 0)",message="say once whom tcpSocket asks: write target, or tcpSocket.host"
// +kubebuilder:validation:XValidation:rule="!(has(self.grpc) || has(self.tls)) || has(self.target)",message="grpc and tls need a target: write target.host, target.service, target.pods, target.ingress (tls only) or target.nodes"
// +kubebuilder:validation:XValidation:rule="!has(self.exec) || (has(self.target) && has(self.target.pods))",message="exec runs in containers: write target.pods with a selector"
// +kubebuilder:validation:XValidation:rule="!has(self.target) || !(has(self.dns) || has(self.synthetic) || has(self.podTemplate))",message="dns, synthetic and podTemplate take no target: write dns.server, synthetic.parameters or the pod's own arguments instead"
// +kubebuilder:validation:XValidation:rule="!has(self.httpGet) || (type(self.httpGet.port) == int ? self.httpGet.port >= 1 && self.httpGet.port <= 65535 : has(self.target) && (has(self.target.service) || has(self.target.pods)))",message="write httpGet.port as a number from 1 to 65535; a name works only with target.service or target.pods, whose ports have names"
// +kubebuilder:validation:XValidation:rule="!has(self.tcpSocket) || (type(self.tcpSocket.port) == int ? self.tcpSocket.port >= 1 && self.tcpSocket.port <= 65535 : has(self.target) && (has(self.target.service) || has(self.target.pods)))",message="write tcpSocket.port as a number from 1 to 65535; a name works only with target.service or target.pods, whose ports have names"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || (type(self.tls.port) == int ? self.tls.port >= 1 && self.tls.port <= 65535 : has(self.target) && (has(self.target.service) || has(self.target.pods)))",message="write tls.port as a number from 1 to 65535; a name works only with target.service or target.pods, whose ports have names"
// +kubebuilder:validation:XValidation:rule="!has(self.grpc) || (self.grpc.port >= 1 && self.grpc.port <= 65535)",message="write grpc.port as a number from 1 to 65535"
// +kubebuilder:validation:XValidation:rule="!has(self.expect) || !has(self.expect.statusCodes) || has(self.httpGet) || (has(self.target) && has(self.target.url))",message="expect.statusCodes belongs to httpGet and target.url; leave it out for the others"
// +kubebuilder:validation:XValidation:rule="!has(self.expect) || !has(self.expect.matches) || has(self.httpGet) || has(self.exec) || (has(self.target) && has(self.target.url))",message="expect.matches belongs to httpGet and target.url (the body) and exec (its output); leave it out for the others"
// +kubebuilder:validation:XValidation:rule="!has(self.expect) || !(has(self.expect.headers) || has(self.expect.json)) || has(self.httpGet) || (has(self.target) && has(self.target.url))",message="expect.headers and expect.json belong to httpGet and target.url; leave them out for the others"
// +kubebuilder:validation:XValidation:rule="!has(self.expect) || !has(self.expect.records) || has(self.dns)",message="expect.records belongs to dns; leave it out for the others"
// +kubebuilder:validation:XValidation:rule="!has(self.expect) || !has(self.expect.certificateDaysLeft) || has(self.tls) || (has(self.httpGet) && has(self.httpGet.scheme) && self.httpGet.scheme == 'HTTPS') || (has(self.target) && has(self.target.url) && self.target.url.startsWith('https://'))",message="expect.certificateDaysLeft belongs to tls, to httpGet with scheme: HTTPS, and to an https target.url; leave it out for the others"
// +kubebuilder:validation:XValidation:rule="!has(self.expect) || !has(self.expect.latencyMilliseconds) || !(has(self.synthetic) || has(self.podTemplate))",message="expect.latencyMilliseconds belongs to probes; for synthetic and podTemplate write timeoutSeconds"
// +kubebuilder:validation:XValidation:rule="!has(self.expect) || !has(self.expect.latencyMilliseconds) || !has(self.timeoutSeconds) || self.expect.latencyMilliseconds <= self.timeoutSeconds * 1000",message="expect.latencyMilliseconds is longer than timeoutSeconds, so that no answer could ever be too slow; write a shorter latency or a longer timeout"
// +kubebuilder:validation:XValidation:rule="!has(self.target) || !has(self.target.ingress) || has(self.tls) || (has(self.httpGet) && type(self.httpGet.port) == int && (self.httpGet.port == 80 || self.httpGet.port == 443))",message="target.ingress is asked by httpGet on port 80 or 443, or by tls: those are the ports that an Ingress has"
// +kubebuilder:validation:XValidation:rule="!has(self.from) || self.from != 'nodes' || !(has(self.exec) || has(self.synthetic) || has(self.podTemplate))",message="exec, synthetic and podTemplate run in pods, wherever they are asked from; leave from out, or write from: operator"
// +kubebuilder:validation:XValidation:rule="!has(self.from) || self.from != 'nodes' || !has(self.timeoutSeconds) || self.timeoutSeconds <= 30",message="agents give an attempt 30 seconds at most; with from: nodes write timeoutSeconds of 30 or less"
// +kubebuilder:validation:XValidation:rule="!has(self.tlsConfig) || (has(self.httpGet) && has(self.httpGet.scheme) && self.httpGet.scheme == 'HTTPS') || (has(self.target) && has(self.target.url) && self.target.url.startsWith('https://'))",message="tlsConfig belongs to httpGet with scheme: HTTPS and to an https target.url; for tls write tls.caBundle and tls.serverName"
// +kubebuilder:validation:XValidation:rule="!has(self.auth) || has(self.httpGet) || (has(self.target) && has(self.target.url))",message="auth belongs to httpGet and target.url; leave it out for the others"
// +kubebuilder:validation:XValidation:rule="!has(self.takeOutOfService) || (has(self.target) && ((has(self.target.pods) && (!has(self.target.pods.mode) || self.target.pods.mode == 'Each')) || (has(self.target.service) && has(self.target.service.mode) && self.target.service.mode == 'Each')) && !has(self.exec))",message="takeOutOfService needs to know which pod failed: write target.pods or target.service with mode: Each, and a probe other than exec"
type CheckSpec struct {
	// PeriodSeconds runs the check every so many seconds, the first time at an offset that is the
	// check's own, so that checks of equal periods do not run together.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`
	// Schedule runs the check at the times that five cron fields name, as in a CronJob.
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[^ ]+( +[^ ]+){4})$') && !self.contains('TZ=')",message="write schedule as five fields (minute hour day month weekday), such as '*/5 * * * *', or as @hourly, @daily, @weekly, @monthly or @yearly; a time zone goes into timeZone, and every few seconds into periodSeconds"
	// +optional
	Schedule string `json:"schedule,omitempty"`
	// TimeZone in which Schedule is read, by its name in the time zone database (Asia/Seoul).
	// Absent means UTC.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
	// TimeoutSeconds after which a run is given up and counted as failed; a pod that had not come to its
	// work by then is Unknown. Absent means 1 for
	// probes, as in a pod, and 300 for synthetic and podTemplate, but never more than four fifths
	// of the period.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
	// SuccessThreshold is how many runs must succeed in a row before a failed check is healthy.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=1
	// +optional
	SuccessThreshold int32 `json:"successThreshold,omitempty"`
	// FailureThreshold is how many runs must fail in a row before the check is unhealthy.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=3
	// +optional
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
	// Suspend stops the check; its verdict is Unknown until it runs again.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
	// Maintenance names times at which the check is not run: its verdict is Unknown then, and they
	// count for nothing in its history.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Maintenance []MaintenanceWindow `json:"maintenance,omitempty"`

	CheckAction `json:",inline"`

	// Target is whom a probe asks. An httpGet or a tcpSocket may name a host of its own instead.
	// +optional
	Target *CheckTarget `json:"target,omitempty"`
	// From says from where probes are made: operator is one place in the cluster's pod network, and
	// nodes is the network of every node, by Maek's agents; the check is healthy while all nodes that
	// have an agent get a good answer.
	// +kubebuilder:default=operator
	// +optional
	From CheckOrigin `json:"from,omitempty"`
	// Semantics says whose verdict counts. Strict is somebody's who wants to know whether the target
	// works. Kubelet is the kubelet's about the same probe in a pod, which takes a redirect to another
	// host for success; what it would throw away makes the run Unknown.
	// +kubebuilder:default=Strict
	// +optional
	Semantics ProbeSemantics `json:"semantics,omitempty"`
	// TLSConfig has the server's certificate verified, which a kubelet does not do.
	// +optional
	TLSConfig *CheckTLSConfig `json:"tlsConfig,omitempty"`
	// Auth is sent with each HTTP request, to the host that is asked and no other.
	// +optional
	Auth *CheckAuth `json:"auth,omitempty"`
	// Expect narrows which answers are good. Absent means what Semantics takes for success.
	// +optional
	Expect *CheckExpectation `json:"expect,omitempty"`

	// TakeOutOfService takes pods that fail out of their Services. It does nothing where no
	// CheckPolicy enforces it.
	// +optional
	TakeOutOfService *TakeOutOfService `json:"takeOutOfService,omitempty"`
}

// CheckAction is the question: exactly one of its fields is set. The first four are those of
// core/v1, so that a pod's own probe can be pasted.
type CheckAction struct {
	// HTTPGet sends a GET request.
	// +optional
	HTTPGet *corev1.HTTPGetAction `json:"httpGet,omitempty"`
	// TCPSocket opens a connection.
	// +optional
	TCPSocket *corev1.TCPSocketAction `json:"tcpSocket,omitempty"`
	// GRPC calls grpc.health.v1.Health/Check.
	// +optional
	GRPC *corev1.GRPCAction `json:"grpc,omitempty"`
	// Exec runs a command in a container of each target pod; exit code 0 is success.
	// +optional
	Exec *corev1.ExecAction `json:"exec,omitempty"`
	// DNS asks a name server.
	// +optional
	DNS *DNSAction `json:"dns,omitempty"`
	// TLS makes a handshake and verifies the certificate.
	// +optional
	TLS *TLSAction `json:"tls,omitempty"`
	// Synthetic acts on the cluster as a user would.
	// +optional
	Synthetic *SyntheticAction `json:"synthetic,omitempty"`
	// PodTemplate runs a pod to its end; exit code 0 of every container is success, and the last
	// lines of the first container that fails are kept. The pod runs in the check's namespace,
	// as that namespace's service accounts and Pod Security allow. A template that is no pod is
	// refused when it is first run, by the API server itself, and shows in Stalled: the schema of
	// a pod would make this definition sixteen times as large and age with each release.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	PodTemplate *corev1.PodTemplateSpec `json:"podTemplate,omitempty"`
}

// DNSRecordType is the type of a DNS record.
//
// +kubebuilder:validation:Enum=A;AAAA;CNAME;MX;NS;PTR;SOA;SRV;TXT
type DNSRecordType string

// DNSTransport is how a name server is asked.
//
// +kubebuilder:validation:Enum=UDP;TCP
type DNSTransport string

// DNSAction asks a name server. Success is an answer with at least one record of the type.
type DNSAction struct {
	// Name to ask for. It is taken as complete: no search domains are tried.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Type of the records wanted.
	// +kubebuilder:default=A
	// +optional
	Type DNSRecordType `json:"type,omitempty"`
	// Server to ask, by name or address. Absent means the cluster's own.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Server string `json:"server,omitempty"`
	// Port of the server.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:default=53
	// +optional
	Port int32 `json:"port,omitempty"`
	// Transport by which the question travels.
	// +kubebuilder:default=UDP
	// +optional
	Transport DNSTransport `json:"transport,omitempty"`
}
