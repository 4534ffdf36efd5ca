package controlplane

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ControlPlaneEndpointDown",
	Title: finding.Text{EN: "one of several API servers does not serve", KO: "여러 API server 중 하나가 동작하지 않습니다"},
	Doc: finding.Text{
		EN: "The cluster has several API servers, and one of them has left the endpoints of the Service default/kubernetes, in which each enters itself while it lives, or does not accept connections from here while others do. The cluster " +
			"works, with less in reserve, and clients that were told that address fail: a warning. Connections are tried only by a client that reaches one of them at its own address, as in the network of the " +
			"nodes. A single API server, and the minute in which one starts, are left alone.",
		KO: "API server가 여러 개인데 그중 하나가 Service default/kubernetes의 endpoint에서 빠졌거나(동작 중인 API server는 스스로 등록합니다), 다른 것은 연결되는데 그것만 여기에서 연결되지 않습니다. 클러스터는 동작하지만 여유가 줄었고 그 주소를 쓰는 클라이언트는 " +
			"실패하므로 warning입니다. API server 자신의 주소로 연결하는 클라이언트(노드 네트워크 안)에서만 연결을 시험합니다. API server가 하나뿐인 경우와 시작 중인 1분은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*discoveryv1.EndpointSlice](), rule.Any[*corev1.Pod](), rule.Optional[*coordinationv1.Lease]()},
	For:      time.Minute,
	Causes: append(onMachine(), []rule.Cause{
		{Code: "ContainerCrashLoop", Via: rule.Cluster, Holds: claimsSubject},
		{Code: "ContainerStartFailing", Via: rule.Cluster, Holds: claimsSubject},
		{Code: "LivenessProbeFailing", Via: rule.Cluster, Holds: claimsSubject},
		{Code: "ContainerOOMKilled", Via: rule.Cluster, Holds: claimsSubject},
		{Code: "ImageNotFound", Via: rule.Cluster, Holds: claimsSubject},
	}...),
	Detect: detectControlPlaneEndpointDown,
})

// claimsSubject tells whether the cause is about something that the effect names as part of itself.
func claimsSubject(_ *snapshot.Snapshot, effect, cause finding.Finding) bool {
	return slices.Contains(effect.Explains, cause.Subject)
}

// dialled bounds how many addresses are tried.
const dialled = 5

func detectControlPlaneEndpointDown(p *rule.Pass) {
	api := p.API()
	if !api.Asked || api.Failure != nil {
		return
	}
	// Each API server enters itself there by its lease, and they take out one that is gone
	// (k8s.io/kubernetes/pkg/controlplane/reconcilers/lease.go).
	slice, ok := snapshot.Get[*discoveryv1.EndpointSlice](p.Snapshot, metav1.NamespaceDefault, "kubernetes")
	if !ok {
		return
	}
	port := 6443
	for _, sp := range slice.Ports {
		if sp.Port != nil {
			port = int(*sp.Port)
		}
	}
	var listed []string
	for _, e := range slice.Endpoints {
		listed = append(listed, e.Addresses...)
	}
	reported := map[string]bool{}
	for _, a := range api.Addresses {
		host, _ := hostPort(a.Address)
		reported[host] = a.Error != "" // ApiServerUnreachable tells of these.
	}
	pods := p.ControlPlanePods("kube-apiserver")
	entered := slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return slices.Contains(listed, pod.Status.HostIP) })
	for _, pod := range pods {
		ip := pod.Status.HostIP
		if entered && ip != "" && len(pods) > 1 && !slices.Contains(listed, ip) && !reported[ip] {
			reported[ip] = true
			p.Report(leftEndpoints(p, slice, pod, port, len(listed), len(pods)))
		}
	}
	server, _ := hostPort(api.Server)
	near := slices.Contains(listed, server)
	for _, a := range api.Addresses {
		host, _ := hostPort(a.Address)
		near = near || slices.Contains(listed, host)
	}
	// A client that reaches one of them at its own address is in their network. From elsewhere every
	// trial would only wait for nothing.
	if len(listed) > 1 && near {
		reportSilentEndpoints(p, listed, port, reported)
	}
}

// leftEndpoints is an API server that is no more among the endpoints.
func leftEndpoints(p *rule.Pass, slice *discoveryv1.EndpointSlice, pod *corev1.Pod, port, left, of int) finding.Finding {
	address := net.JoinHostPort(pod.Status.HostIP, strconv.Itoa(port))
	_, written := snapshot.LastManager(slice)
	node := pod.Spec.NodeName
	f := finding.Finding{
		Subject: finding.Subject{Kind: "Endpoint", Name: address}, Mechanism: v1alpha1.MechanismStopped, Since: written,
		Title: finding.Textf("API server %s on %s is gone from the endpoints: %d of %d serve", "%[2]s의 API server(%[1]s)가 endpoint에서 빠졌습니다: %[4]d개 중 %[3]d개 동작", address, node, left, of),
		Evidence: []finding.Evidence{{
			Source: "EndpointSlice default/kubernetes", Path: ".endpoints", Value: "does not list " + pod.Status.HostIP, At: finding.Timestamp(written),
		}},
		Explains: []finding.Subject{snapshot.SubjectOf(pod)},
		WaitsFor: []finding.Subject{{Kind: "Node", Name: node}},
	}
	how := finding.Textf("The static pod %s is not ready.", "static Pod(%s)가 준비되지 않았습니다.", pod.Name)
	switch w := p.Writer(snapshot.KubeletOn(node)); {
	case w.State == snapshot.Dead:
		f.Mechanism = v1alpha1.MechanismUnreachable
		f.Evidence = append(f.Evidence, w.Evidence...)
		how = finding.Textf("The node %s does not report either, so what its pod's status says is old.", "노드 %s의 보고도 없어 Pod의 status는 오래된 값입니다.", node)
	case snapshot.PodReady(pod):
		how = finding.Textf("Its static pod %s is ready all the same: it runs and cannot enter itself, as without a way to etcd.", "static Pod(%s)는 준비된 상태입니다. 실행 중이지만 etcd에 연결되지 않는 등의 이유로 등록하지 못합니다.", pod.Name)
	}
	f.Why = finding.Join(" ", finding.Text{
		EN: "Every API server enters itself there while it lives, and this one did not.",
		KO: "동작 중인 API server는 스스로 endpoint에 등록하지만 이 서버는 등록하지 않았습니다.",
	}, how, othersServe)
	f.Remedies = lookThere(node)
	return f
}

var othersServe = finding.Text{
	EN: "The others serve; pods that call the Service kubernetes are not sent to it any more.",
	KO: "나머지 API server가 동작하며, Service kubernetes를 호출하는 Pod는 이 서버로 연결되지 않습니다.",
}

func lookThere(machine string) finding.Remedies {
	return finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "is its container there, and what did it say last", KO: "컨테이너가 있는지, 마지막 로그가 무엇인지 확인합니다"},
				Command: "crictl ps -a --name kube-apiserver; crictl logs --tail 20 $(crictl ps -aq --name kube-apiserver | head -n 1)", Machine: machine,
			},
			{
				Text:    finding.Text{EN: "is its manifest there (put back or mended, the kubelet starts it by itself)", KO: "manifest가 있는지 확인합니다(되돌리거나 고치면 kubelet이 바로 시작합니다)"},
				Command: "ls -l /etc/kubernetes/manifests/kube-apiserver.yaml; journalctl -u kubelet -n 50 --no-pager", Machine: machine,
			},
		},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "put a load balancer with a health check on /readyz before the API servers",
			KO: "API server 앞에 /readyz를 검사하는 로드 밸런서를 둡니다",
		}}},
	}
}

// reportSilentEndpoints dials the API servers that are listed. One that keeps silent is told of only
// where another of them answered: else it is the way from here that is missing.
func reportSilentEndpoints(p *rule.Pass, listed []string, port int, reported map[string]bool) {
	type try struct {
		address string
		answer  snapshot.Answer
	}
	var silent []try
	answered := 0
	for _, ip := range listed[:min(len(listed), dialled)] {
		address := net.JoinHostPort(ip, strconv.Itoa(port))
		a, ok := p.Ask(snapshot.Question{Kind: snapshot.Dial, Name: address})
		switch {
		case !ok:
		case a.Outcome == snapshot.Answered:
			answered++
		case (a.Outcome == snapshot.Refused || a.Outcome == snapshot.TimedOut) && !reported[ip]:
			silent = append(silent, try{address, a})
		}
	}
	if answered == 0 {
		return
	}
	for _, t := range silent {
		mechanism := v1alpha1.MechanismUnreachable
		if t.answer.Outcome == snapshot.Refused {
			mechanism = v1alpha1.MechanismRefused
		}
		host, _ := hostPort(t.address)
		what := cmp.Or(strings.TrimSpace(t.answer.Error), string(t.answer.Outcome))
		p.Report(finding.Finding{
			Subject: finding.Subject{Kind: "Endpoint", Name: t.address}, Mechanism: mechanism, Confidence: v1alpha1.ConfidenceMedium,
			Title: finding.Textf("API server %s does not accept connections from here, and others do (%d)", "API server(%s)가 여기에서 연결되지 않습니다(다른 %d개는 연결됨)", t.address, answered),
			Why: finding.Join(" ", finding.Textf("It is among the endpoints of the Service default/kubernetes, and dialing it gave: %s.", "Service default/kubernetes의 endpoint에 있지만 연결 결과는 다음과 같습니다: %s.", finding.Quote(what)),
				onlyFromHere),
			Evidence: []finding.Evidence{{Source: "API server " + t.address, Path: "dial", Value: finding.Quote(what), At: finding.Timestamp(t.answer.At)}},
			Remedies: lookThere(host),
		})
	}
}
