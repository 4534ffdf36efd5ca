package probes

import (
	"encoding/json"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/finding"
)

// port is what a probe asks of its container, and the name of its action's field; false for a command.
func (p probe) port() (at intstr.IntOrString, action string, ok bool) {
	switch h := p.spec.ProbeHandler; {
	case h.HTTPGet != nil:
		return h.HTTPGet.Port, "httpGet", true
	case h.TCPSocket != nil:
		return h.TCPSocket.Port, "tcpSocket", true
	case h.GRPC != nil:
		return intstr.FromInt32(h.GRPC.Port), "grpc", true
	default:
		return intstr.IntOrString{}, "", false
	}
}

// number is the port that a probe asks as the kubelet looks it up: by its name among the ports of this
// container and no other, else as a number (k8s.io/kubernetes/pkg/probe/util.go, ResolveContainerPort).
// It is 0 where there is none.
func (p probe) number() int {
	at, _, ok := p.port()
	switch {
	case !ok:
		return 0
	case at.Type == intstr.Int:
		return int(at.IntVal)
	}
	if n := p.portNumber(at); n != 0 {
		return n
	}
	n, err := strconv.Atoi(at.StrVal)
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}

// portNumber is the number of a port that the container declares by name, or that is one; 0 where there is none.
func (at place) portNumber(port intstr.IntOrString) int {
	if port.Type == intstr.Int {
		return int(port.IntVal)
	}
	for _, declared := range at.container.Ports {
		if declared.Name == port.StrVal {
			return int(declared.ContainerPort)
		}
	}
	return 0
}

// asks is the probe's question in one line, as its fields have it: "httpGet :8080/healthz".
func (p probe) asks() string {
	at, action, ok := p.port()
	switch {
	case !ok && p.spec.Exec != nil:
		return "exec " + strings.Join(p.spec.Exec.Command[:min(1, len(p.spec.Exec.Command))], "")
	case !ok:
		return "nothing"
	case p.spec.HTTPGet != nil:
		return action + " :" + at.String() + p.path()
	default:
		return action + " :" + at.String()
	}
}

// pathRunes bounds a path in a sentence.
const pathRunes = 80

// path that an HTTP probe asks, without its query, in which anything may stand.
func (p probe) path() string {
	if p.spec.HTTPGet == nil {
		return "/"
	}
	path, _, _ := strings.Cut(p.spec.HTTPGet.Path, "?")
	return finding.Line("/"+strings.TrimPrefix(path, "/"), pathRunes)
}

// handler is what the probe asks, as a part of an object.
func (p probe) handler() fields {
	data, err := json.Marshal(p.spec.ProbeHandler)
	if err != nil {
		return fields{}
	}
	var out fields
	if err := json.Unmarshal(data, &out); err != nil {
		return fields{}
	}
	return out
}

// same tells whether two probes of a container ask the same question.
func (p probe) same(other *corev1.Probe) bool {
	if other == nil {
		return false
	}
	o := probe{p.place, p.kind, other}
	a, b := p.spec.ProbeHandler, other.ProbeHandler
	switch {
	case a.Exec != nil && b.Exec != nil:
		return strings.Join(a.Exec.Command, "\x00") == strings.Join(b.Exec.Command, "\x00")
	case a.TCPSocket != nil && b.TCPSocket != nil:
		return p.number() == o.number() && a.TCPSocket.Host == b.TCPSocket.Host
	case a.GRPC != nil && b.GRPC != nil:
		return a.GRPC.Port == b.GRPC.Port && text(a.GRPC.Service) == text(b.GRPC.Service)
	case a.HTTPGet != nil && b.HTTPGet != nil:
		return p.number() == o.number() && sameRequest(a.HTTPGet, b.HTTPGet)
	default:
		return false
	}
}

func sameRequest(a, b *corev1.HTTPGetAction) bool {
	if strings.TrimPrefix(a.Path, "/") != strings.TrimPrefix(b.Path, "/") || a.Host != b.Host || scheme(a) != scheme(b) || len(a.HTTPHeaders) != len(b.HTTPHeaders) {
		return false
	}
	for i := range a.HTTPHeaders {
		if !strings.EqualFold(a.HTTPHeaders[i].Name, b.HTTPHeaders[i].Name) || a.HTTPHeaders[i].Value != b.HTTPHeaders[i].Value {
			return false
		}
	}
	return true
}

func scheme(a *corev1.HTTPGetAction) corev1.URIScheme {
	if a.Scheme == "" {
		return corev1.URISchemeHTTP
	}
	return corev1.URIScheme(strings.ToUpper(string(a.Scheme)))
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
