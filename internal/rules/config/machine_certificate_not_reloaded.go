package config

import (
	"path"
	"slices"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CertificateNotReloaded",
	Title: finding.Text{EN: "certificate was renewed, and the server still presents the old one", KO: "인증서가 갱신되었으나 서버는 아직 이전 것을 제시합니다"},
	Doc: finding.Text{
		EN: "A file holds a newer certificate than the one that the server on the same machine presents under the same name: the server has not read it again, and its clients see the old one end. It is critical once that has expired. Ten minutes are left for " +
			"servers that read their files anew by themselves; a server whose certificate lies in no file that was read is left alone.",
		KO: "파일에는 더 새로운 인증서가 있는데 같은 머신의 서버는 같은 이름의 이전 인증서를 제시합니다. 서버가 파일을 다시 읽지 않은 것이며, 이전 인증서가 만료되면 클라이언트가 접속하지 못합니다. 이미 만료되었으면 critical입니다. 스스로 다시 읽는 서버를 위해 10분을 기다리며, " +
			"인증서 파일을 찾지 못한 서버는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#manual-certificate-renewal",
	Severity: finding.Warning, Gravest: finding.Critical,
	For: 2 * serversAsked,
	Machine: []snapshot.EvidenceKey{
		"certificate/*/subject", "certificate/*/issuer", "certificate/*/serial", "certificate/*/names", "certificate/*/not-before", "certificate/*/not-after",
		"certificate/*/modified", "certificate/served/*/*", "certificate/*/authority", "kubelet/client-certificate/path",
	},
	Detect: detectCertificateNotReloaded,
})

// serversAsked is how old what a server presents may be when it is reported.
const serversAsked = 10 * time.Minute

// listeners are the servers at the ports that are asked, and the static pods they run as.
var listeners = map[string]string{"6443": "kube-apiserver", "10250": "kubelet", "10257": "kube-controller-manager", "10259": "kube-scheduler", "2379": "etcd"}

func detectCertificateNotReloaded(p *rule.Pass) {
	for _, m := range p.Machines() {
		files := machineCertificates(m)
		var ports []string
		for _, e := range m.Select("certificate/served/*/serial") {
			ports = append(ports, e.Key.Segments()[2])
		}
		slices.Sort(ports)
		for _, port := range ports {
			served := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("certificate", "served", port, word) }
			if slices.ContainsFunc(files, func(c machineCertificate) bool { return m.Value(c.key("serial")) == m.Value(served("serial")) }) {
				continue
			}
			for _, c := range files {
				if c.renewalOf(served) {
					p.Report(notReloaded(c, port, served))
					break
				}
			}
		}
	}
}

// renewalOf tells whether a file holds a newer certificate of the same name, signer and hosts than a
// server presents. What etcd's members present to each other bears the same names as what etcd presents
// to its clients.
func (c machineCertificate) renewalOf(served func(string) snapshot.EvidenceKey) bool {
	if path.Base(c.file) == "peer.crt" {
		return false
	}
	for _, word := range []string{"subject", "issuer", "names"} {
		if c.Value(c.key(word)) != c.Value(served(word)) {
			return false
		}
	}
	return c.notBefore.After(c.Time(served("not-before")))
}

func notReloaded(c machineCertificate, port string, served func(string) snapshot.EvidenceKey) finding.Finding {
	server, until := listeners[port], c.Time(served("not-after"))
	now := c.ObservedAt()
	f := finding.Finding{
		Subject: c.subject(), Mechanism: v1alpha1.MechanismExpired, Field: c.file, Since: c.Time(c.key("modified")),
		Title: finding.Textf("machine %s: %s still presents the certificate that was replaced in %s", "머신 %s: %s 서버가 %s 파일에서 교체된 이전 인증서를 제시합니다", c.Node(), server, c.file),
		Why: finding.Textf("The file was renewed and is valid until %s; at port %s %s presents one that is valid until %s. It reads the file when it starts.",
			"갱신된 파일은 %s까지 유효하지만 포트 %s에서 %s 서버는 %s까지 유효한 인증서를 제시합니다. 시작할 때만 파일을 읽습니다.", finding.Clock(now, c.notAfter), port, server, finding.Clock(now, until)),
		Evidence: append(c.evidence(), c.Evidence(served("serial")), c.Evidence(served("not-after"))),
	}
	if now.After(until) {
		f.Severity = finding.Critical
	}
	f.Remedies.Now = []finding.Remedy{restartOf(c.Node(), server)}
	if server == "kubelet" {
		f.Remedies.Now = []finding.Remedy{{Text: finding.Text{EN: "start the kubelet anew; containers keep running", KO: "kubelet을 다시 시작합니다. 컨테이너는 계속 실행됩니다"}, Command: "systemctl restart kubelet", Machine: c.Node()}}
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{EN: "restart the control plane's pods whenever certificates are renewed", KO: "인증서를 갱신할 때마다 control plane Pod를 다시 시작합니다"}}}
	return f
}
