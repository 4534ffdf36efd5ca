package controlplane

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CertificateSigningRequestStuck",
	Title: finding.Text{EN: "certificate request is not signed", KO: "인증서 요청이 서명되지 않습니다"},
	Doc: finding.Text{
		EN: "A CertificateSigningRequest waits for longer than ten minutes, was denied, or failed. One of a kubelet's client certificate keeps its node from joining or, once the old certificate has run out, from reporting; one of a " +
			"kubelet's serving certificate, which nothing in Kubernetes approves by itself, breaks logs, exec and metrics of that node. Requests of one signer with one fate are one finding. A person's own request that is not approved, or was denied, is info. Left alone: young requests, signed ones, " +
			"those that a later request of the same user got signed, and those for the serving certificate of a node that is gone.",
		KO: "CertificateSigningRequest가 10분 넘게 대기하거나 거부되거나 실패했습니다. kubelet의 클라이언트 인증서이면 노드가 클러스터에 참여하지 못하거나 기존 인증서가 만료된 뒤 보고하지 못합니다. kubelet의 serving 인증서는 Kubernetes가 " +
			"자동으로 승인하지 않으며, 승인되지 않으면 해당 노드의 logs, exec, metric을 사용할 수 없습니다. signer와 상태가 같은 요청은 하나로 알립니다. 사용자 본인의 요청이 승인되지 않았거나 거부된 경우는 info입니다. 최근 요청, 서명된 요청, 같은 사용자의 이후 요청이 서명된 경우, 이미 없는 노드의 serving 인증서 요청은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/",
	Severity: finding.Warning,
	Needs: []rule.Need{
		rule.Any[*certificatesv1.CertificateSigningRequest](), rule.Optional[*corev1.Node](), rule.Optional[*coordinationv1.Lease](),
	},
	For:    10 * time.Minute,
	Causes: []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster}},
	Detect: detectCertificateSigningRequestStuck,
})

// fate is what became of a request.
type fate string

const (
	pending  fate = "pending"
	denied   fate = "denied"
	failed   fate = "failed"
	unsigned fate = "approved and not signed"
)

// fateKO are the fates in Korean.
var fateKO = map[fate]string{pending: "승인 대기", denied: "거부됨", failed: "실패", unsigned: "승인되었으나 서명되지 않음"}

// fates of a request's conditions; empty for one that was signed.
func fateOf(csr *certificatesv1.CertificateSigningRequest) (fate, *certificatesv1.CertificateSigningRequestCondition) {
	if len(csr.Status.Certificate) > 0 {
		return "", nil
	}
	for i := range csr.Status.Conditions {
		switch c := &csr.Status.Conditions[i]; c.Type {
		case certificatesv1.CertificateDenied:
			return denied, c
		case certificatesv1.CertificateFailed:
			return failed, c
		case certificatesv1.CertificateApproved:
		}
	}
	if len(csr.Status.Conditions) > 0 {
		return unsigned, nil
	}
	return pending, nil
}

// batch are requests of one signer with one fate.
type batch struct {
	signer   string
	fate     fate
	requests []*certificatesv1.CertificateSigningRequest
	reason   *certificatesv1.CertificateSigningRequestCondition
}

func detectCertificateSigningRequestStuck(p *rule.Pass) {
	all := snapshot.List[*certificatesv1.CertificateSigningRequest](p.Snapshot)
	signed := map[string]time.Time{}
	for _, csr := range all {
		if k := csr.Spec.SignerName + " " + requester(csr); len(csr.Status.Certificate) > 0 && csr.CreationTimestamp.After(signed[k]) {
			signed[k] = csr.CreationTimestamp.Time
		}
	}
	batches := map[string]*batch{}
	for _, csr := range all {
		f, c := fateOf(csr)
		if f == "" || !signed[csr.Spec.SignerName+" "+requester(csr)].Before(csr.CreationTimestamp.Time) || ofGoneNode(p.Snapshot, csr) {
			continue
		}
		k := csr.Spec.SignerName + " " + string(f)
		if batches[k] == nil {
			batches[k] = &batch{signer: csr.Spec.SignerName, fate: f, reason: c}
		}
		batches[k].requests = append(batches[k].requests, csr)
	}
	for _, k := range slices.Sorted(maps.Keys(batches)) {
		p.Report(batches[k].finding(p))
	}
}

// requester is whom the certificate would be for: the common name in the request, else who sent it.
func requester(csr *certificatesv1.CertificateSigningRequest) string {
	if block, _ := pem.Decode(csr.Spec.Request); block != nil {
		if r, err := x509.ParseCertificateRequest(block.Bytes); err == nil && r.Subject.CommonName != "" {
			return r.Subject.CommonName
		}
	}
	return csr.Spec.Username
}

// ofGoneNode tells whether a request is for the serving certificate of a Node that is gone: a kubelet
// asks for one once its Node is registered, and the request outlives a Node of a pool that shrank.
func ofGoneNode(s *snapshot.Snapshot, csr *certificatesv1.CertificateSigningRequest) bool {
	if csr.Spec.SignerName != certificatesv1.KubeletServingSignerName || !s.Coverage(snapshot.KindOf[*corev1.Node]()).Known() {
		return false
	}
	node, isNode := strings.CutPrefix(requester(csr), nodeUser)
	_, there := snapshot.Get[*corev1.Node](s, "", node)
	return isNode && !there
}

// personal tells whether a request is for somebody's own use of the API, which people approve or
// refuse as they see fit.
func (b *batch) personal() bool {
	return b.signer == certificatesv1.KubeAPIServerClientSignerName && (b.fate == pending || b.fate == denied)
}

// nodeUser begins the name under which a kubelet is known
// (https://kubernetes.io/docs/reference/access-authn-authz/node/).
const nodeUser = "system:node:"

func (b *batch) finding(p *rule.Pass) finding.Finding {
	first := slices.MinFunc(b.requests, func(x, y *certificatesv1.CertificateSigningRequest) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
	})
	var who []string
	mechanism := v1alpha1.MechanismHung
	if b.fate == denied || b.fate == failed {
		mechanism = v1alpha1.MechanismRefused
	}
	f := finding.Finding{Subject: snapshot.SubjectOf(first), Mechanism: mechanism, Since: first.CreationTimestamp.Time}
	if b.personal() {
		f.Severity = finding.Info
	}
	for _, csr := range b.requests {
		name := requester(csr)
		node, isNode := strings.CutPrefix(name, nodeUser)
		if isNode {
			who = append(who, node)
		} else {
			who = append(who, name)
		}
		if w := p.Writer(snapshot.KubeletOn(node)); isNode && b.signer == certificatesv1.KubeAPIServerClientKubeletSignerName &&
			w.State == snapshot.Dead && csr.CreationTimestamp.After(w.LastSeen.Add(-time.Hour)) {
			// The kubelet runs, for it asks; it does not report, for it has no certificate to report with.
			f.Explains = append(f.Explains, finding.Subject{Kind: "Node", Name: node})
			f.Evidence = append(f.Evidence, w.Evidence...)
		}
	}
	slices.SortFunc(f.Explains, finding.CompareSubjects)
	f.Explains = slices.Compact(f.Explains)
	names := finding.List(who)
	f.Title = finding.Text{
		EN: fmt.Sprintf("certificate requests to %s are %s: %s", b.signer, b.fate, names.EN),
		KO: fmt.Sprintf("%s에 보낸 인증서 요청 상태: %s(%s)", b.signer, fateKO[b.fate], names.KO),
	}
	seen := finding.Evidence{Source: finding.Named(f.Subject), Path: ".status", Value: string(b.fate), At: finding.Timestamp(first.CreationTimestamp.Time)}
	said := finding.Text{}
	if b.reason != nil && b.reason.Message != "" {
		seen.Value = finding.Quote(string(b.fate) + ": " + b.reason.Message)
		said = finding.Textf("The first of them says: %s.", "첫 요청의 기록: %s.", strings.TrimSuffix(finding.Quote(b.reason.Message), "."))
	}
	f.Evidence = append([]finding.Evidence{seen}, f.Evidence...)
	f.Why = finding.Join(" ", finding.Textf("Requests: %d, the first of %s.", "요청 %d건, 첫 요청은 %s입니다.", len(b.requests), finding.Clock(p.Now(), first.CreationTimestamp.Time)), said, b.harm())
	f.Remedies = b.remedies(first)
	return f
}

// harm says what cannot be done without the certificate.
func (b *batch) harm() finding.Text {
	switch b.signer {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return finding.Text{
			EN: "Without it a new node cannot join, and one whose old certificate runs out ceases to report although its kubelet and its pods run.",
			KO: "이 인증서가 없으면 새 노드는 참여하지 못하고, 기존 인증서가 만료된 노드는 kubelet과 Pod가 실행 중이어도 보고하지 못합니다.",
		}
	case certificatesv1.KubeletServingSignerName:
		return finding.Text{
			EN: "Without it logs, exec, port-forward and metrics of these nodes fail over TLS; their pods are not touched. Kubernetes has no approver for this signer: an operator or a person approves.",
			KO: "이 인증서가 없으면 해당 노드의 logs, exec, port-forward, metric이 TLS 오류로 실패합니다. Pod에는 영향이 없습니다. 이 signer의 요청은 Kubernetes가 자동으로 승인하지 않으므로 별도의 approver나 사람이 승인해야 합니다.",
		}
	default:
		return finding.Text{EN: "Whoever sent them works without the certificate, or not at all.", KO: "요청한 쪽은 인증서 없이 동작하거나 동작하지 못합니다."}
	}
}

func (b *batch) remedies(first *certificatesv1.CertificateSigningRequest) finding.Remedies {
	look := finding.Remedy{
		Text:    finding.Text{EN: "see who asks for what, and whether that is meant", KO: "누가 무엇을 요청했는지, 의도된 요청인지 확인합니다"},
		Command: "kubectl describe csr " + first.Name,
	}
	out := finding.Remedies{Now: []finding.Remedy{look}, Later: []finding.Remedy{{Text: finding.Text{
		EN: "run an approver that checks the names and addresses in requests, and let kubelets renew on their own (rotateCertificates)",
		KO: "요청의 이름과 주소를 검사하는 approver를 운영하고 kubelet이 스스로 갱신하게 합니다(rotateCertificates)",
	}}}}
	switch b.fate {
	case pending:
		out.Now = append(out.Now, finding.Remedy{
			Text:    finding.Text{EN: "if it is the node's own: approve it", KO: "노드 자신의 요청이 맞으면 승인합니다"},
			Command: "kubectl certificate approve " + first.Name,
		})
	case unsigned:
		out.Now = append(out.Now, finding.Remedy{
			Text:    finding.Text{EN: "see whether the controller manager signs (--cluster-signing-cert-file) and what it says", KO: "controller manager가 서명하는지(--cluster-signing-cert-file) 로그를 확인합니다"},
			Command: "kubectl -n kube-system logs -l component=kube-controller-manager --tail=200 | grep -i certificate",
		})
	case denied, failed:
		again := finding.Text{
			EN: "mend what the message names, and send the request anew if it is meant",
			KO: "메시지가 가리키는 문제를 고치고, 의도된 요청이면 다시 보냅니다",
		}
		if b.signer == certificatesv1.KubeAPIServerClientKubeletSignerName || b.signer == certificatesv1.KubeletServingSignerName {
			again = finding.Text{
				EN: "mend what the message names; the kubelet asks again by itself",
				KO: "메시지가 가리키는 문제를 고칩니다. kubelet은 스스로 다시 요청합니다",
			}
		}
		out.Now = append(out.Now, finding.Remedy{Text: again})
	}
	return out
}
