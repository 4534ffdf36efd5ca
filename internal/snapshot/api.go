package snapshot

import "time"

// Layer is how far a request to the API server gets, from the outside in.
type Layer string

// The layers, outermost first.
const (
	// LayerName: resolving the server's name.
	LayerName Layer = "name"
	// LayerConnect: opening a TCP connection.
	LayerConnect Layer = "connect"
	// LayerTLS: agreeing on a secure connection.
	LayerTLS Layer = "tls"
	// LayerRequest: getting an HTTP answer.
	LayerRequest Layer = "request"
	// LayerAuthentication: being known to the server (401).
	LayerAuthentication Layer = "authentication"
	// LayerReadiness: the server's own /readyz.
	LayerReadiness Layer = "readiness"
)

// FailureReason is the stable word for what went wrong at a layer.
type FailureReason string

// The reasons for which the API server cannot be used.
const (
	NameUnknown          FailureReason = "name unknown"
	ConnectionRefused    FailureReason = "connection refused"
	NoAnswer             FailureReason = "no answer"
	CertificateExpired   FailureReason = "certificate expired"
	CertificateUntrusted FailureReason = "certificate not trusted"
	CertificateOtherName FailureReason = "certificate for another name"
	NotTLS               FailureReason = "not TLS"
	Unauthorized         FailureReason = "unauthorized"
	TooManyRequests      FailureReason = "too many requests"
	ServerError          FailureReason = "server error"
	OtherFailure         FailureReason = "other"
)

// API is what was seen of the API server itself.
type API struct {
	// Asked tells whether anybody tried to reach it: false for a bundle without a record of it.
	Asked bool `json:"asked"`
	// Server is its address as this client dials it, host:port.
	Server string `json:"server,omitempty"`
	// Addresses that Server's name resolves to, with what each answered to a TCP dial.
	Addresses []Address `json:"addresses,omitempty"`
	// Endpoints are the API servers that the cluster itself names (EndpointSlice default/kubernetes), as
	// far as they are not among Addresses, with what each answered from here. They are asked only where
	// the API server fails or says that it is not ready, and its lists came all the same. That one is
	// not reached may only mean that it is not meant to be reached from here.
	Endpoints []Address `json:"endpoints,omitempty"`
	// Version that it reports, such as v1.36.3.
	Version string `json:"version,omitempty"`
	// Failure is why it cannot be used; nil when it answers.
	Failure *APIFailure `json:"failure,omitempty"`
	// Checks are the lines of /readyz?verbose; nil when they could not be read.
	Checks []HealthCheck `json:"checks,omitempty"`
	// ChecksError says why Checks could not be read; empty when they were.
	ChecksError string `json:"checksError,omitempty"`
	// CertificateNotAfter is when its serving certificate expires; zero when it was not seen.
	CertificateNotAfter time.Time `json:"certificateNotAfter,omitzero"`
}

// Address is one network address of an API server. Beyond the TCP connection it is looked into only
// where that opened.
type Address struct {
	// Address as host:port.
	Address string `json:"address"`
	// Error of dialing it; empty when the connection opened.
	Error string `json:"error,omitempty"`
	// Failure says at which layer it stops behind an open connection: LayerTLS where there is no secure
	// connection or the certificate does not hold, LayerRequest where no HTTP answer comes. Nil where
	// /livez was answered over a connection that can be trusted, whatever the Status.
	Failure *APIFailure `json:"failure,omitempty"`
	// LiveStatus is the HTTP status of /livez, asked without credentials and also where the certificate
	// does not hold: 200 of a server that lives, 401 or 403 of one that lives and tells strangers
	// nothing, 500 of one that does not; 0 where no answer came.
	LiveStatus int `json:"liveStatus,omitempty"`
	// CertificateNotBefore and CertificateNotAfter are the dates of the serving certificate, held or not;
	// zero when none was seen.
	CertificateNotBefore time.Time `json:"certificateNotBefore,omitzero"`
	CertificateNotAfter  time.Time `json:"certificateNotAfter,omitzero"`
}

// APIFailure says at which layer a request stops, and why.
type APIFailure struct {
	// Layer at which it stops.
	Layer Layer `json:"layer"`
	// Reason in a stable word.
	Reason FailureReason `json:"reason"`
	// Status is the HTTP status, where there was an answer.
	Status int `json:"status,omitempty"`
	// Message in the words of whoever failed or refused.
	Message string `json:"message"`
}

// HealthCheck is one line of /readyz?verbose.
type HealthCheck struct {
	// Name of the check, such as etcd or poststarthook/rbac/bootstrap-roles.
	Name string `json:"name"`
	// OK tells whether it passed.
	OK bool `json:"ok"`
	// Message after the name, such as "failed: reason withheld".
	Message string `json:"message,omitempty"`
}

// Ready tells whether the API server answers and every readiness check passed.
func (a API) Ready() bool {
	if a.Failure != nil || len(a.Checks) == 0 {
		return false
	}
	for _, c := range a.Checks {
		if !c.OK {
			return false
		}
	}
	return true
}
