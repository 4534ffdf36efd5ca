package controlplane

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// manifestKeys are what manifestsOn reads.
func manifestKeys() []snapshot.EvidenceKey {
	return []snapshot.EvidenceKey{
		"static-pod-folder/path", "static-pod/*/name", "static-pod/*/namespace", "static-pod/*/image", "static-pod/*/modified", "static-pod/*/mode",
		"static-pod/*/error", "static-pod/*/error-line", "static-pod/*/error-text", "static-pod/*/ignored", "static-pod/*/arguments-hash",
	}
}

// manifest is a file in a machine's folder of static pods.
type manifest struct {
	machine snapshot.Machine
	path    string
}

// manifestsOn returns the files of a machine's folder of static pods, by path.
func manifestsOn(m snapshot.Machine) []manifest {
	var out []manifest
	for _, name := range m.Names("static-pod/*/modified") {
		out = append(out, manifest{m, name})
	}
	return out
}

func (f manifest) key(what string) snapshot.EvidenceKey {
	return snapshot.KeyOf("static-pod", f.path, what)
}

func (f manifest) value(what string) string { return f.machine.Value(f.key(what)) }

// pod is the name of the pod that the file defines; of one that cannot be read what its name says.
func (f manifest) pod() string {
	if name := f.value("name"); name != "" {
		return name
	}
	base := path.Base(f.path)
	return strings.TrimSuffix(base, path.Ext(base))
}

// loss says what a cluster goes without while a component does not run.
func loss(component string) finding.Text {
	switch component {
	case apiServerComponent:
		return finding.Text{EN: "This machine has no API server: its own components and whoever uses this address can start, stop and change nothing. Pods that run go on.", KO: "이 머신에 API server가 없습니다. 이 주소를 쓰는 모든 것이 아무것도 시작, 중지, 변경할 수 없습니다. 실행 중인 Pod는 계속 동작합니다."}
	case "kube-scheduler":
		return finding.Text{EN: "Unless another machine runs one, no new pod gets a node. Pods that run go on.", KO: "다른 머신에서 실행 중이지 않으면 새 Pod가 노드에 배치되지 않습니다. 실행 중인 Pod는 계속 동작합니다."}
	case "kube-controller-manager":
		return finding.Text{EN: "Unless another machine runs one, lost pods are not replaced, endpoints are not updated and dead nodes are not noticed. Pods that run go on.", KO: "다른 머신에서 실행 중이지 않으면 사라진 Pod가 다시 만들어지지 않고, endpoint가 갱신되지 않으며, 죽은 노드를 감지하지 못합니다. 실행 중인 Pod는 계속 동작합니다."}
	case "etcd":
		return finding.Text{EN: "The etcd cluster is without this member.", KO: "etcd 클러스터에서 이 member가 빠집니다."}
	}
	return finding.Text{EN: "Its pod does not run on this machine.", KO: "이 머신에서 해당 Pod가 실행되지 않습니다."}
}

// elsewhere tells whether another machine's component of the same name is well: then it does the work.
func elsewhere(p *rule.Pass, m snapshot.Machine, name string) bool {
	return slices.ContainsFunc(p.Machines(), func(other snapshot.Machine) bool {
		return other.Node() != m.Node() && other.Value(snapshot.KeyOf("component", name, "status")) == "200"
	})
}

// suffers says what the loss of a component on a machine means, and how grave that is.
func suffers(p *rule.Pass, m snapshot.Machine, name string) (finding.Severity, finding.Text) {
	switch {
	case !controlPlaneComponent(name):
		return finding.Warning, finding.Text{}
	case elsewhere(p, m, name):
		return finding.Warning, finding.Text{EN: "Other machines do its work meanwhile.", KO: "그동안 다른 머신이 일을 이어받습니다."}
	default:
		return finding.Critical, loss(name)
	}
}

// harmed are the subjects that suffer where a component does not run on a machine: its mirror pod, the
// file whose pod the API server misses, the Lease that it would hold, the address that the API server would answer.
func harmed(p *rule.Pass, m snapshot.Machine, component, file string) []finding.Subject {
	out := []finding.Subject{
		{Kind: "Pod", Namespace: "kube-system", Name: component + "-" + m.Node()},
		{Kind: "Endpoint", Name: component, Machine: m.Node()},
	}
	if file != "" {
		out = append(out, m.Subject("File", file))
	}
	switch component {
	case "kube-scheduler", "kube-controller-manager":
		out = append(out, finding.Subject{Kind: "Lease", Namespace: "kube-system", Name: component})
	case "etcd":
		out = append(out, m.Subject("EtcdMember", m.Node()))
	case apiServerComponent:
		out = append(out, addressesOf(p, m)...)
	}
	return out
}

// addressesOf are the API server addresses behind which only this machine's API server stands, as
// clients name them: the one that its own kubelet uses, and the one that was asked for this snapshot.
func addressesOf(p *rule.Pass, m snapshot.Machine) []finding.Subject {
	own := m.Value("component/kube-apiserver/endpoint")
	var urls []string
	for _, other := range p.Machines() {
		urls = append(urls, other.Value("kubelet/api-server/url"))
	}
	if api := p.API(); api.Asked {
		urls = append(urls, endpoint(api).Name)
	}
	alone := !slices.ContainsFunc(p.Machines(), func(other snapshot.Machine) bool {
		return other.Node() != m.Node() && other.Value("component/kube-apiserver/from") != ""
	})
	var out []finding.Subject
	if u, err := url.Parse(own); err == nil && u.Host != "" {
		out = append(out, finding.Subject{Kind: "Endpoint", Name: u.Host}, m.Subject("Endpoint", u.Host))
	}
	for _, u := range urls {
		subject := finding.Subject{Kind: "Endpoint", Name: u}
		if u != "" && (hostIn(u) == hostIn(own) || alone) && !slices.Contains(out, subject) {
			out = append(out, subject)
		}
	}
	return out
}

func hostIn(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Hostname()
	}
	host, _ := hostPort(address)
	return host
}

// addressKeys are what addressesOf reads.
func addressKeys() []snapshot.EvidenceKey {
	return []snapshot.EvidenceKey{"kubelet/api-server/url", "component/*/endpoint", "component/*/from", "component/*/status"}
}

// onMachine are the causes, found on the control-plane machine itself, of a component that is missed.
func onMachine() []rule.Cause {
	return []rule.Cause{
		{Code: "StaticPodManifestInvalid", Via: rule.Claimed},
		{Code: "StaticPodManifestMissing", Via: rule.Claimed},
		{Code: "ComponentNotAnswering", Via: rule.Claimed},
	}
}
