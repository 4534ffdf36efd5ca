package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TLSAction makes a handshake. Success is a certificate that is in date, issued for the name that
// was asked, and signed by an authority that is trusted.
type TLSAction struct {
	// Port to connect to, by number, or by name with target.service or target.pods.
	Port intstr.IntOrString `json:"port"`
	// ServerName to ask for (SNI) and to verify. Absent means target.host, or the Service's name
	// in the cluster; required by pods and nodes, whose addresses no certificate names.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServerName string `json:"serverName,omitempty"`
	// CABundle is a key of a ConfigMap in the check's namespace with the trusted authorities in
	// PEM. Absent means those of the operator's image.
	// +optional
	CABundle *corev1.ConfigMapKeySelector `json:"caBundle,omitempty"`
}

// SyntheticAction acts on the cluster as a user would: it makes things, watches them come up,
// uses them and takes them away.
type SyntheticAction struct {
	// Scenario to play, such as deployment, daemonset, dns or storage.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="write scenario as one lower-case word, such as deployment, daemonset, dns or storage"
	Scenario string `json:"scenario"`
	// Parameters of the scenario; each scenario's reference lists its own.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Parameters map[string]SyntheticParameter `json:"parameters,omitempty"`
	// ServiceAccountName of the check's namespace that the scenario acts as; it can do what that
	// account may do, and nothing else. Absent means the namespace's default.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// SyntheticParameter is the value of a scenario's parameter.
//
// +kubebuilder:validation:MaxLength=1024
type SyntheticParameter string

// TargetMode says how many addresses of a target are asked in each run.
//
// +kubebuilder:validation:Enum=Any;Each
type TargetMode string

// The target modes.
const (
	// TargetAny asks one, as a client would be sent to one.
	TargetAny TargetMode = "Any"
	// TargetEach asks every one; the check is healthy while all of them are.
	TargetEach TargetMode = "Each"
)

// CheckTarget is whom a probe asks. Services, pods and Ingresses are those of the check's namespace.
//
// +kubebuilder:validation:XValidation:rule="[has(self.url), has(self.host), has(self.service), has(self.pods), has(self.ingress), has(self.nodes)].filter(x, x).size() == 1",message="write exactly one of target.url, target.host, target.service, target.pods, target.ingress and target.nodes"
type CheckTarget struct {
	// URL is asked with GET. Its host is treated as Host is.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^https?://[^/@?#]+([/?].*)?$')",message="write url as http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], with no user and no fragment in it; passwords go into auth"
	// +optional
	URL string `json:"url,omitempty"`
	// Host is a name or an address. One that is not a Service of the check's own namespace must be
	// allowed by a CheckPolicy.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9.:_-]+$') && !self.contains('://')",message="write host as a bare name or address; scheme, port and path go into httpGet, tcpSocket, grpc or tls"
	// +optional
	Host string `json:"host,omitempty"`
	// Service of the check's namespace.
	// +optional
	Service *ServiceTarget `json:"service,omitempty"`
	// Pods of the check's namespace.
	// +optional
	Pods *PodsTarget `json:"pods,omitempty"`
	// Ingress of the check's namespace, by the address that its controller gave it.
	// +optional
	Ingress *IngressTarget `json:"ingress,omitempty"`
	// Nodes of the cluster, by their internal addresses. A CheckPolicy must allow them.
	// +optional
	Nodes *NodesTarget `json:"nodes,omitempty"`
}

// ServiceTarget is a Service of the check's namespace.
type ServiceTarget struct {
	// Name of the Service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Mode Any asks the Service's own address; Each asks every ready endpoint behind it.
	// +kubebuilder:default=Any
	// +optional
	Mode TargetMode `json:"mode,omitempty"`
}

// PodsTarget is a set of pods of the check's namespace. A set that is empty makes the verdict
// Unknown, not healthy.
type PodsTarget struct {
	// Selector of the pods by their labels.
	Selector metav1.LabelSelector `json:"selector"`
	// Container in which exec runs and in whose ports a port's name is looked up. Absent means
	// the pod's first.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Container string `json:"container,omitempty"`
	// Mode Any asks one running pod, another in each run; Each asks every running pod.
	// +kubebuilder:default=Each
	// +optional
	Mode TargetMode `json:"mode,omitempty"`
}

// IngressTarget is an Ingress of the check's namespace.
type IngressTarget struct {
	// Name of the Ingress.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Host of its rules that is asked for, in the header Host and in SNI. Absent means that of the
	// first rule.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Host string `json:"host,omitempty"`
}

// NodesTarget is a set of nodes. A set that is empty makes the verdict Unknown, not healthy.
type NodesTarget struct {
	// Selector of the nodes by their labels; empty means all.
	// +optional
	Selector metav1.LabelSelector `json:"selector,omitzero"`
	// Mode Any asks one node, another in each run; Each asks every node.
	// +kubebuilder:default=Each
	// +optional
	Mode TargetMode `json:"mode,omitempty"`
}
