package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// machineCertificate is a certificate in a file on a machine.
type machineCertificate struct {
	snapshot.Machine
	file                string
	notBefore, notAfter time.Time
	use                 certificateUse
}

// certificateUse says what a file's certificate is for.
type certificateUse struct {
	// who uses it, and for what.
	who finding.Text
	// renewed is its name in kubeadm's "certs renew"; empty where kubeadm cannot renew it.
	renewed string
	// restart is the program that reads it only when it starts, as its static pod is called; empty where
	// it is read anew by itself.
	restart string
	// severity once it has expired.
	severity finding.Severity
}

const pki = "/etc/kubernetes/pki/"

// certificateUses are the files of kubeadm (https://kubernetes.io/docs/setup/best-practices/certificates/
// and k8s.io/kubernetes/cmd/kubeadm/app/phases/certs/certlist.go), and those of the kubelet.
var certificateUses = map[string]certificateUse{
	pki + "apiserver.crt": {
		finding.Text{EN: "the API server presents it to every client", KO: "API server가 모든 클라이언트에 제시하는 인증서입니다"}, "apiserver", "kube-apiserver", finding.Critical,
	},
	pki + "apiserver-etcd-client.crt": {
		finding.Text{EN: "the API server presents it to etcd", KO: "API server가 etcd에 제시하는 인증서입니다"}, "apiserver-etcd-client", "kube-apiserver", finding.Critical,
	},
	pki + "apiserver-kubelet-client.crt": {
		finding.Text{EN: "the API server presents it to kubelets, for logs, exec and port-forward", KO: "API server가 로그, exec, port-forward를 위해 kubelet에 제시하는 인증서입니다"}, "apiserver-kubelet-client", "kube-apiserver", finding.Warning,
	},
	pki + "front-proxy-client.crt": {
		finding.Text{EN: "the API server presents it to aggregated API servers such as metrics-server", KO: "API server가 metrics-server 같은 aggregated API server에 제시하는 인증서입니다"}, "front-proxy-client", "kube-apiserver", finding.Warning,
	},
	pki + "etcd/server.crt": {
		finding.Text{EN: "etcd presents it to the API server", KO: "etcd가 API server에 제시하는 인증서입니다"}, "etcd-server", "etcd", finding.Critical,
	},
	pki + "etcd/peer.crt": {
		finding.Text{EN: "etcd's members present it to each other", KO: "etcd member끼리 서로 제시하는 인증서입니다"}, "etcd-peer", "etcd", finding.Critical,
	},
	pki + "etcd/healthcheck-client.crt": {
		finding.Text{EN: "probes and etcdctl present it to etcd", KO: "probe와 etcdctl이 etcd에 제시하는 인증서입니다"}, "etcd-healthcheck-client", "", finding.Warning,
	},
	"/etc/kubernetes/controller-manager.conf": {
		finding.Text{EN: "the controller manager presents it to the API server", KO: "controller manager가 API server에 제시하는 인증서입니다"}, "controller-manager.conf", "kube-controller-manager", finding.Critical,
	},
	"/etc/kubernetes/scheduler.conf": {
		finding.Text{EN: "the scheduler presents it to the API server", KO: "scheduler가 API server에 제시하는 인증서입니다"}, "scheduler.conf", "kube-scheduler", finding.Critical,
	},
	"/etc/kubernetes/admin.conf": {
		finding.Text{EN: "administrators present it to the API server", KO: "관리자가 API server에 제시하는 인증서입니다"}, "admin.conf", "", finding.Warning,
	},
	"/etc/kubernetes/super-admin.conf": {
		finding.Text{EN: "administrators present it to the API server where access rights are broken", KO: "접근 권한이 잘못되었을 때 관리자가 API server에 제시하는 인증서입니다"}, "super-admin.conf", "", finding.Warning,
	},
	pki + "ca.crt": {
		finding.Text{EN: "by it every client and server of the cluster judges the others", KO: "클러스터의 모든 클라이언트와 서버가 서로를 검증하는 CA입니다"}, "", "", finding.Critical,
	},
	pki + "etcd/ca.crt": {
		finding.Text{EN: "by it etcd, its members and the API server judge each other", KO: "etcd member와 API server가 서로를 검증하는 CA입니다"}, "", "", finding.Critical,
	},
	pki + "front-proxy-ca.crt": {
		finding.Text{EN: "by it aggregated API servers judge the API server", KO: "aggregated API server가 API server를 검증하는 CA입니다"}, "", "", finding.Warning,
	},
	"/var/lib/kubelet/pki/kubelet-server-current.pem": {
		finding.Text{EN: "the kubelet presents it to the API server and to metrics-server", KO: "kubelet이 API server와 metrics-server에 제시하는 인증서입니다"}, "", "", finding.Warning,
	},
	"/var/lib/kubelet/pki/kubelet.crt": {
		finding.Text{EN: "the kubelet presents it to the API server, which does not check it, and to metrics-server, which may", KO: "kubelet이 API server(검증하지 않음)와 metrics-server(설정에 따라 검증)에 제시하는 인증서입니다"}, "", "", finding.Info,
	},
}

// useOf says what a file's certificate is for. Of a file that no installer is known to use so, only its
// folder tells something: it may as well be a copy that somebody kept.
func useOf(file string) certificateUse {
	if use, ok := certificateUses[file]; ok {
		return use
	}
	base := path.Base(file)
	switch {
	case strings.HasPrefix(file, "/var/lib/rancher/") && (strings.HasPrefix(base, "client-") || strings.HasPrefix(base, "serving-") || strings.Contains(file, "/tls/etcd/")):
		return certificateUse{finding.Text{EN: "the programs of k3s or RKE2 present it to each other", KO: "k3s 또는 RKE2의 프로그램이 서로 제시하는 인증서입니다"}, "", "", finding.Warning}
	case strings.HasPrefix(file, "/etc/kubernetes/ssl/"), strings.HasPrefix(file, "/etc/ssl/etcd/"), strings.HasPrefix(file, "/etc/etcd/"):
		return certificateUse{finding.Text{EN: "the control plane or etcd on this machine uses it", KO: "이 머신의 control plane 또는 etcd가 사용합니다"}, "", "", finding.Warning}
	default:
		return certificateUse{finding.Text{EN: "what uses it is not known", KO: "무엇이 사용하는지 알 수 없습니다"}, "", "", finding.Info}
	}
}

// kubeletsOwn are files of the certificate with which the kubelet presents itself, of which other rules
// speak.
var kubeletsOwn = []string{"/var/lib/kubelet/pki/kubelet-client-current.pem", "/etc/kubernetes/kubelet.conf"}

// machineCertificates are those of a machine's files that are no affair of other rules.
func machineCertificates(m snapshot.Machine) []machineCertificate {
	own := append([]string{m.Value("kubelet/client-certificate/path")}, kubeletsOwn...)
	var out []machineCertificate
	for _, file := range m.Names("certificate/*/not-after") {
		if slices.Contains(own, file) {
			continue
		}
		out = append(out, machineCertificate{
			Machine: m, file: file, use: useOf(file),
			notBefore: m.Time(snapshot.KeyOf("certificate", file, "not-before")), notAfter: m.Time(snapshot.KeyOf("certificate", file, "not-after")),
		})
	}
	return out
}

func (c machineCertificate) key(word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("certificate", c.file, word)
}

func (c machineCertificate) subject() finding.Subject { return c.Subject("Certificate", c.file) }

func (c machineCertificate) evidence() []finding.Evidence {
	return []finding.Evidence{c.Evidence(c.key("subject")), c.Evidence(c.key("not-before")), c.Evidence(c.key("not-after"))}
}

// renew says how to get a new certificate and have it used.
func (c machineCertificate) renew() finding.Remedies {
	var r finding.Remedies
	switch {
	case c.use.renewed != "":
		r.Now = append(r.Now, finding.Remedy{Text: finding.Text{EN: "renew it", KO: "갱신합니다"}, Command: "kubeadm certs renew " + c.use.renewed, Machine: c.Node()})
	case c.True(c.key("authority")):
		r.Now = append(r.Now, finding.Remedy{
			Text: finding.Text{EN: "authorities are replaced by hand, in the order that the documentation gives", KO: "CA는 문서의 순서대로 직접 교체합니다"}, Machine: c.Node(),
			Command: "openssl x509 -noout -subject -dates -in " + finding.ShellWord(c.file),
		})
	case strings.HasPrefix(c.file, "/var/lib/rancher/"):
		r.Now = append(r.Now, finding.Remedy{
			Text: finding.Text{EN: "k3s and RKE2 renew what ends soon when they start", KO: "k3s와 RKE2는 시작할 때 만료가 가까운 인증서를 갱신합니다"}, Machine: c.Node(),
			Command: "systemctl restart k3s rke2-server 2>/dev/null",
		})
	case strings.HasPrefix(c.file, "/var/lib/kubelet/"):
		r.Now = append(r.Now, finding.Remedy{
			Text: finding.Text{EN: "the kubelet makes a new one when it starts and finds none", KO: "kubelet은 시작할 때 파일이 없으면 새로 만듭니다"}, Machine: c.Node(),
			Command: fmt.Sprintf("rm %s && systemctl restart kubelet", c.file),
		})
	default:
		r.Now = append(r.Now, finding.Remedy{
			Text: finding.Text{EN: "have whoever made it make a new one", KO: "발급한 도구로 새로 발급합니다"}, Machine: c.Node(),
			Command: "openssl x509 -noout -subject -issuer -dates -in " + finding.ShellWord(c.file),
		})
	}
	if c.use.restart != "" {
		r.Now = append(r.Now, restartOf(c.Node(), c.use.restart))
	}
	r.Later = []finding.Remedy{{Text: finding.Text{
		EN: "renew all certificates at every upgrade (kubeadm upgrade does), or by a timer of your own, and alert a month before one ends",
		KO: "업그레이드할 때마다(kubeadm upgrade가 수행) 또는 timer로 모든 인증서를 갱신하고, 만료 한 달 전에 알림을 보냅니다",
	}}}
	return r
}

// restartOf starts a static pod anew, so that it reads its files again: its container is stopped, and the
// kubelet starts another.
func restartOf(machine, component string) finding.Remedy {
	return finding.Remedy{
		Text: finding.Format("have %s read it: it is started anew", "%s 컨테이너를 다시 시작하여 새 파일을 읽게 합니다", finding.Verbatim(component)), Machine: machine,
		Command: fmt.Sprintf("crictl stop $(crictl ps -q --name '^%s$')", component),
	}
}
