package target

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

const (
	// jsonBodyLimit is how much of a body is read where its JSON is expected to say something, in bytes.
	jsonBodyLimit = 1 << 20
	// maxTargetName is the longest name of a target that a status holds, in bytes.
	maxTargetName = 253
)

// question makes the question of one place.
func (q *query) question(p place, have materials) (plan.Question, error) {
	question := plan.Question{
		Name: p.name[:min(len(p.name), maxTargetName)], Pod: p.pod, Roots: have.roots,
		Options: probe.Options{Now: q.r.o.Now},
	}
	if p.gap != nil {
		question.Probe = probe.Impossible{Err: p.gap.err(), Why: probe.PortUnresolved}
		return question, nil
	}
	if p.guard != nil {
		question.Options.Dial = p.guard.dial
		question.Nodes = q.allowed.nodes || p.guard.basis == byIngress
		question.Addresses = p.addresses()
	}
	var err error
	address := net.JoinHostPort(p.host, strconv.Itoa(int(p.port)))
	switch spec := q.spec; {
	case spec.HTTPGet != nil, spec.Target != nil && spec.Target.URL != "":
		question.Options.TLS = q.clientTLS(p, have)
		question.Probe, err = q.http(p, have)
	case spec.TCPSocket != nil:
		question.Probe = probe.TCP{Address: address}
	case spec.GRPC != nil:
		question.Probe = q.grpc(address)
	case spec.TLS != nil:
		question.Probe, err = q.handshake(p, address, have)
	case spec.DNS != nil:
		question.Probe = probe.DNS{Server: address, Name: spec.DNS.Name, Type: string(spec.DNS.Type), OverTCP: spec.DNS.Transport == "TCP"}
	case spec.Exec != nil:
		question.Options.Run, err = q.r.runner(q.check.Namespace)
		question.Probe = probe.Exec{Namespace: p.pod.Namespace, Pod: p.pod.Name, Container: p.container, Command: slices.Clone(spec.Exec.Command)}
	}
	return question, err
}

// addresses are where the place is, if that is known: the port that is asked first, and then those to which
// it may redirect.
func (p place) addresses() []string {
	if !p.guard.pin.IsValid() {
		return nil
	}
	all := []string{netip.AddrPortFrom(p.guard.pin, p.port).String()}
	for _, port := range p.guard.ports {
		if port != p.port {
			all = append(all, netip.AddrPortFrom(p.guard.pin, port).String())
		}
	}
	return all
}

// userAgent is what servers are told of who asks.
func (r *Resolver) userAgent() string { return "maek-check/" + r.o.Version }

// http makes the request that a kubelet would make, under our own name.
func (q *query) http(p place, have materials) (probe.Target, error) {
	var ask probe.HTTP
	if text := q.spec.HTTPGet; text == nil {
		u, err := url.Parse(q.spec.Target.URL)
		if err != nil {
			return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "target.url cannot be read: %v", err)
		}
		if u.Path == "" {
			u.Path = "/"
		}
		u.Host = net.JoinHostPort(p.host, strconv.Itoa(int(p.port)))
		ask = probe.HTTP{URL: u, Header: http.Header{"Accept": {"*/*"}}}
	} else {
		action := *text
		action.Host, action.Port = "", intstr.FromInt32(int32(p.port))
		made := probe.Resolve(&corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &action}}, probe.Site{
			Pod: &corev1.Pod{Status: corev1.PodStatus{PodIP: p.host}}, Container: &corev1.Container{},
		})
		var fine bool
		if ask, fine = made.(probe.HTTP); !fine {
			return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "no request can be made from httpGet: %s", made)
		}
	}
	if !q.namesHeader("User-Agent") {
		ask.Header.Set("User-Agent", q.r.userAgent())
	}
	if _, err := netip.ParseAddr(p.host); err != nil && usual(ask.URL.Scheme, p.port) {
		// As browsers do: a virtual host may not know itself with a port.
		ask.URL.Host = p.host
	}
	ask.Authorization = have.authorization
	if expected := q.spec.Expect; expected != nil {
		ask.Certificates = expected.CertificateDaysLeft > 0
		if len(expected.JSON) > 0 {
			ask.BodyLimit = jsonBodyLimit
		}
	}
	return ask, nil
}

func usual(scheme string, port uint16) bool {
	return scheme == "http" && port == 80 || scheme == "https" && port == 443
}

func (q *query) namesHeader(name string) bool {
	return q.spec.HTTPGet != nil && slices.ContainsFunc(q.spec.HTTPGet.HTTPHeaders, func(h corev1.HTTPHeader) bool {
		return http.CanonicalHeaderKey(h.Name) == name
	})
}

func (q *query) grpc(address string) probe.GRPC {
	ask := probe.GRPC{Address: address, UserAgent: q.r.userAgent()}
	if service := q.spec.GRPC.Service; service != nil {
		ask.Service = *service
	}
	return ask
}

// handshake asks for a certificate. Those of pods and nodes name no address.
func (q *query) handshake(p place, address string, have materials) (probe.Target, error) {
	name := q.spec.TLS.ServerName
	if name == "" {
		name = p.serverName
	}
	if name == "" && (q.spec.Target.Pods != nil || q.spec.Target.Nodes != nil) {
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "certificates of pods and nodes name no address; write in tls.serverName which name to ask for")
	}
	return probe.TLS{Address: address, ServerName: name, Roots: have.pool}, nil
}

// clientTLS is how an HTTPS server is met: without tlsConfig the kubelet's way.
func (q *query) clientTLS(p place, have materials) *tls.Config {
	spec := q.spec.TLSConfig
	if spec == nil {
		return nil
	}
	config := &tls.Config{
		Time:               q.r.o.Now,
		ServerName:         spec.ServerName,
		RootCAs:            have.pool,
		InsecureSkipVerify: spec.InsecureSkipVerify, //nolint:gosec // the check says so
		MinVersion:         tls.VersionTLS12,
	}
	if config.ServerName == "" {
		config.ServerName = p.serverName // empty: the host of the URL
	}
	if have.certificate != nil {
		config.Certificates = []tls.Certificate{*have.certificate}
	}
	return config
}
