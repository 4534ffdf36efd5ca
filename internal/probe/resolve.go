package probe

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Site is the container that a probe belongs to, as the kubelet sees it.
type Site struct {
	// Pod is the pod: its IP (the kubelet asks the primary one, also of a dual-stack pod), its name
	// and UID.
	Pod *corev1.Pod
	// Container is the container of the pod's spec. Names of ports and variables are its own.
	Container *corev1.Container
	// Version is the kubelet's as <major>.<minor>, which it tells to servers: "1.36".
	Version string
}

// Resolve gives what the kubelet asks for a probe. It reads nothing but its arguments. A probe from
// which nothing can be asked gives an [Impossible].
func Resolve(spec *corev1.Probe, site Site) Target {
	switch {
	case spec.Exec != nil:
		return Exec{
			Namespace: site.Pod.Namespace,
			Pod:       site.Pod.Name,
			Container: site.Container.Name,
			Command:   expandCommand(spec.Exec.Command, site.Container.Env),
		}
	case spec.HTTPGet != nil:
		return resolveHTTP(spec.HTTPGet, site)
	case spec.TCPSocket != nil:
		port, err := ResolvePort(spec.TCPSocket.Port, site.Container)
		if err != nil {
			return Impossible{Err: err, Why: PortUnresolved}
		}
		return TCP{Address: address(spec.TCPSocket.Host, site.Pod, port)}
	case spec.GRPC != nil:
		target := GRPC{Address: address("", site.Pod, int(spec.GRPC.Port)), UserAgent: userAgent(site.Version)}
		if spec.GRPC.Service != nil {
			target.Service = *spec.GRPC.Service
		}
		return target
	default:
		err := fmt.Errorf("missing probe handler for %s_%s(%s):%s", site.Pod.Name, site.Pod.Namespace, site.Pod.UID, site.Container.Name)
		return Impossible{Err: err, Why: NoHandler}
	}
}

// Timeout returns the time that a probe has for one attempt.
func Timeout(spec *corev1.Probe) time.Duration {
	if spec.TimeoutSeconds <= 0 {
		return DefaultTimeout
	}
	return time.Duration(spec.TimeoutSeconds) * time.Second
}

// ResolvePort gives the number of a probe's port, from 1 to 65535. A name is looked for among the
// container's own ports, and then read as a number. The errors are the kubelet's
// (k8s.io/kubernetes/pkg/probe/util.go).
func ResolvePort(port intstr.IntOrString, container *corev1.Container) (int, error) {
	number := port.IntValue()
	if port.Type == intstr.String {
		number = 0
		found := false
		for _, p := range container.Ports {
			if p.Name == port.StrVal {
				number, found = int(p.ContainerPort), true
				break
			}
		}
		if !found {
			var err error
			if number, err = strconv.Atoi(port.StrVal); err != nil {
				return 0, err //nolint:wrapcheck // the kubelet's text is this very one
			}
		}
	}
	if number < 1 || number > 65535 {
		return 0, fmt.Errorf("invalid port number: %d", number)
	}
	return number, nil
}

func userAgent(version string) string { return "kube-probe/" + version }

// address is where a probe goes: to the pod, unless it names a host. A pod without an IP gives
// ":80", which is the prober's own machine: the kubelet asks itself there.
func address(host string, pod *corev1.Pod, port int) string {
	if host == "" {
		host = pod.Status.PodIP
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// resolveHTTP follows pkg/probe/http/request.go.
func resolveHTTP(get *corev1.HTTPGetAction, site Site) Target {
	port, err := ResolvePort(get.Port, site.Container)
	if err != nil {
		return Impossible{Err: err, Why: PortUnresolved}
	}
	scheme := strings.ToLower(string(get.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	asked, err := url.Parse(get.Path)
	if err != nil {
		asked = &url.URL{Path: get.Path}
	}
	asked.Scheme = scheme
	asked.Host = address(get.Host, site.Pod, port)
	// By way of its text: what the kubelet sends is what a parser makes of it.
	asked, err = url.Parse(asked.String())
	if err != nil {
		return Impossible{Err: err, Why: RequestInvalid}
	}

	header := http.Header{}
	for _, h := range get.HTTPHeaders {
		header.Add(h.Name, h.Value)
	}
	if _, given := header["User-Agent"]; !given {
		header.Set("User-Agent", userAgent(site.Version))
	}
	if _, given := header["Accept"]; !given {
		header.Set("Accept", "*/*")
	} else if header.Get("Accept") == "" {
		header.Del("Accept")
	}
	return HTTP{URL: asked, Header: header, Host: header.Get("Host")}
}

var errNoRunner = errors.New("there is no way to run commands in containers from here")
