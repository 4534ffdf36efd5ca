package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// CheckOrigin says from where probes are made.
//
// +kubebuilder:validation:Enum=operator;nodes
type CheckOrigin string

// The origins.
const (
	// FromOperator makes probes in the replica of the operator that owns the check.
	FromOperator CheckOrigin = "operator"
	// FromNodes makes probes on every node that has an agent.
	FromNodes CheckOrigin = "nodes"
)

// ProbeSemantics says whose verdict about an answer counts.
//
// +kubebuilder:validation:Enum=Strict;Kubelet
type ProbeSemantics string

// The semantics.
const (
	// SemanticsStrict asks whether the target works.
	SemanticsStrict ProbeSemantics = "Strict"
	// SemanticsKubelet asks what the kubelet would say.
	SemanticsKubelet ProbeSemantics = "Kubelet"
)

// CheckTLSConfig says how HTTPS servers are met. Where it is written, their certificates are verified.
// What it reads of Secrets needs a RoleBinding to the ClusterRole maek-check-secrets in the check's
// namespace.
//
// +kubebuilder:validation:XValidation:rule="!has(self.insecureSkipVerify) || !self.insecureSkipVerify || !has(self.caBundle)",message="insecureSkipVerify trusts every certificate, so that caBundle means nothing; write one of them"
type CheckTLSConfig struct {
	// CABundle is a key of a ConfigMap in the check's namespace with the trusted authorities in PEM.
	// Absent means those of the operator's image.
	// +optional
	CABundle *corev1.ConfigMapKeySelector `json:"caBundle,omitempty"`
	// ServerName to ask for (SNI) and to verify. Absent means the host that is asked.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServerName string `json:"serverName,omitempty"`
	// InsecureSkipVerify accepts every certificate, as kubelets do: for a server that wants a client
	// certificate and has none of its own that anybody trusts.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
	// ClientCertificate is a Secret of type kubernetes.io/tls in the check's namespace.
	// +optional
	ClientCertificate *SecretReference `json:"clientCertificate,omitempty"`
}

// SecretReference names a Secret of the check's namespace.
type SecretReference struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// CheckAuth is sent with each HTTP request. It is read from Secrets of the check's namespace, which
// needs a RoleBinding to the ClusterRole maek-check-secrets there.
//
// +kubebuilder:validation:XValidation:rule="has(self.basic) != has(self.bearerToken)",message="write exactly one of auth.basic and auth.bearerToken"
type CheckAuth struct {
	// Basic is a Secret of type kubernetes.io/basic-auth.
	// +optional
	Basic *SecretReference `json:"basic,omitempty"`
	// BearerToken is a key of a Secret.
	// +optional
	BearerToken *corev1.SecretKeySelector `json:"bearerToken,omitempty"`
}

// Weekday is a day of the week, by three letters.
//
// +kubebuilder:validation:Enum=Sun;Mon;Tue;Wed;Thu;Fri;Sat
type Weekday string

// MaintenanceWindow is a span of time that comes again on some days of each week.
type MaintenanceWindow struct {
	// Days on which it begins. Absent means every day.
	// +kubebuilder:validation:MaxItems=7
	// +listType=set
	// +optional
	Days []Weekday `json:"days,omitempty"`
	// Start is when it begins, by the 24-hour clock of TimeZone.
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:XValidation:rule="self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')",message="write start as HH:MM of the 24-hour clock, such as 02:00"
	Start string `json:"start"`
	// DurationMinutes is how long it lasts; it may go on past midnight.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10080
	DurationMinutes int32 `json:"durationMinutes"`
	// TimeZone of Start and of Days, by its name in the time zone database (Asia/Seoul). Absent means
	// UTC.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
}

// ReadinessGateInService is the type of the pod condition by which pods are taken out of their
// Services. A pod that is to be taken out names it in spec.readinessGates.
const ReadinessGateInService corev1.PodConditionType = "maek.dev/in-service"

// ConsequenceMode says whether an action is taken, or only told of.
//
// +kubebuilder:validation:Enum=DryRun;Enforce
type ConsequenceMode string

// The modes.
const (
	// ModeDryRun tells what would be done, in Events and in status, and does nothing.
	ModeDryRun ConsequenceMode = "DryRun"
	// ModeEnforce does it.
	ModeEnforce ConsequenceMode = "Enforce"
)

// TakeOutOfService takes a pod that fails this check out of its Services: it makes the pod's condition
// maek.dev/in-service False, which its readiness gate of that name turns into a pod that is not ready.
// The condition is True otherwise, also while nobody knows: the gate holds no pod back that does not
// fail, and no longer than the check goes on to fail.
type TakeOutOfService struct {
	// Mode Enforce acts, where a CheckPolicy enforces it too; DryRun says what would be done.
	// +kubebuilder:default=DryRun
	// +optional
	Mode ConsequenceMode `json:"mode,omitempty"`
	// MinReadyPercent of the endpoints of each Service of a pod that must stay ready without it, rounded
	// up; one of them always must.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=50
	// +optional
	MinReadyPercent int32 `json:"minReadyPercent,omitempty"`
}
