package kubelet_test

import (
	"testing"

	ours "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-base/version"
	"k8s.io/kubernetes/pkg/probe"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
)

// site is a container at the loopback address, for a kubelet of the version that is linked in.
func site() ours.Site {
	linked := version.Get()
	return ours.Site{
		Pod:       &corev1.Pod{Status: corev1.PodStatus{PodIP: "127.0.0.1"}},
		Container: &corev1.Container{Name: "main"},
		Version:   linked.Major + "." + linked.Minor,
	}
}

// kubeletHTTP asks as the kubelet does (runProbe of pkg/kubelet/prober/prober.go).
func kubeletHTTP(prober httpprobe.Prober, get *corev1.HTTPGetAction, at ours.Site, c probetest.HTTPCase) ours.Verdict {
	request, err := httpprobe.NewRequestForHTTPGetAction(get, at.Container, at.Pod.Status.PodIP, "probe")
	if err != nil {
		return verdictOf(probe.Unknown, "", err)
	}
	return verdictOf(prober.Probe(request, c.Timeout()))
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	all := newAgreement(t, "HTTP servers")
	kubelet := httpprobe.New(false)
	prober := ours.New(ours.Options{Now: wallClock})
	for name, tc := range probetest.HTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			get, port := tc.Start(t)
			at := site()
			theirs := kubeletHTTP(kubelet, get, at, tc)
			target := ours.Resolve(&corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}}, at)
			outcome := prober.Probe(t.Context(), target, tc.Timeout())
			all.compare(t, "HTTP: "+name, theirs, outcome.Kubelet, func(message string) string { return probetest.Normal(message, port) })
		})
	}
}
