package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeResolverBroken",
	Title: finding.Text{
		EN: "node cannot resolve names",
		KO: "노드에서 이름을 해석하지 못합니다",
	},
	Doc: finding.Text{
		EN: "Image pulls on one node fail while looking up the registry's name, and no other node has that trouble: the machine's own resolver (/etc/resolv.conf) is at fault, not the " +
			"images and not cluster DNS, which image pulls do not use. A registry whose name fails on several nodes is left to RegistryUnreachable. An answer that the name does not exist counts " +
			"only where other nodes run images of that registry, or several registries fail: otherwise the image's name may simply be mistyped.",
		KO: "한 노드에서만 registry 이름을 조회하지 못해 이미지 pull이 실패합니다. 이미지나 클러스터 DNS(이미지 pull은 사용하지 않음)가 아니라 그 머신의 resolver(/etc/resolv.conf) 문제입니다. 여러 노드에서 같은 registry 이름이 실패하면 " +
			"RegistryUnreachable로 다룹니다. 이름이 없다는 응답은 다른 노드가 그 registry의 이미지를 실행 중이거나 여러 registry가 실패할 때만 문제로 봅니다. 그렇지 않으면 이미지 이름의 오타일 수 있습니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/containers/images/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Whole[*corev1.Pod](), rule.Optional[*corev1.Event]()},
	For:      30 * time.Second,
	Causes:   []rule.Cause{{Code: "ResolverBroken", Via: rule.OnMachine}},
	Detect:   detectNodeResolverBroken,
})

func detectNodeResolverBroken(p *rule.Pass) {
	for _, broken := range p.BrokenResolvers(p.PullFailures()) {
		reportResolver(p, broken)
	}
}

func reportResolver(p *rule.Pass, broken snapshot.BrokenResolver) {
	first := telling(broken.Failures)
	lookup, _ := snapshot.ParseLookUp(first.Message)
	pods, since := sufferers(broken.Failures)
	f := finding.Finding{
		Subject:    finding.Subject{Kind: "Node", Name: broken.Node},
		Mechanism:  v1alpha1.MechanismMisconfigured,
		Field:      "/etc/resolv.conf",
		Confidence: v1alpha1.ConfidenceMedium,
		Since:      since,
		Title:      finding.Textf("node %s: registry names cannot be looked up", "노드 %s: registry 이름을 조회하지 못합니다", broken.Node),
		Why: finding.Format("Images cannot be pulled (%s) because looking up %s fails on this node and on no other: %s. Image pulls use the machine's resolver, not cluster DNS.",
			"이 노드에서만 %[2]s 조회가 실패하여 %[1]s가 이미지를 pull하지 못합니다: %[3]s. 이미지 pull은 클러스터 DNS가 아니라 머신의 resolver를 사용합니다.",
			finding.Pods(len(pods)), finding.List(broken.Hosts), finding.Verbatim(reason(first.Message))),
		Explains: pods,
		Evidence: []finding.Evidence{{
			Source: "Pod " + first.Pod.Namespace + "/" + first.Pod.Name, Path: fmt.Sprintf(".status.%s[%s].state.waiting.message", statusesOf(first), first.Container),
			Value: reason(first.Message), At: finding.Timestamp(first.Since),
		}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Text{EN: "which servers does the machine ask, and do they answer", KO: "머신이 사용하는 DNS 서버와 응답 여부를 확인합니다"},
				Command: "cat /etc/resolv.conf; getent hosts " + lookup.Host, Machine: broken.Node,
			}},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "name two resolvers on every node, and let one tool write resolv.conf",
				KO: "모든 노드에 resolver를 2개 이상 지정하고 resolv.conf는 한 도구로만 관리합니다",
			}}},
		},
	}
	if e := pulledElsewhere(p.Snapshot, broken, since); e != nil {
		f.Confidence = v1alpha1.ConfidenceHigh
		seen := finding.Evidence{Source: "Event on node " + e.Source.Host, Path: e.Reason, Value: finding.Quote(e.Message), At: finding.Timestamp(snapshot.EventTime(e))}
		f.RuledOut = []finding.Statement{{
			Text: finding.Textf("the registry and its name: node %s has pulled from it since",
				"registry와 그 이름: 그 뒤에 노드 %s에서는 pull에 성공했습니다", e.Source.Host),
			Evidence: []finding.Evidence{seen},
		}}
		f.Evidence = append(f.Evidence, seen)
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Text{EN: "the same on a node without the trouble, to compare", KO: "정상인 노드에서 같은 명령을 실행하여 비교합니다"},
			Command: "cat /etc/resolv.conf; getent hosts " + lookup.Host, Machine: e.Source.Host,
		})
	}
	p.Report(f)
}

// telling is the failure whose message says most: one in which no name server answered, else the
// first.
func telling(failures []snapshot.PullFailure) snapshot.PullFailure {
	for _, f := range failures {
		if l, ok := snapshot.ParseLookUp(f.Message); ok && !l.Unknown {
			return f
		}
	}
	return failures[0]
}

// statusesOf is the list of a pod's status that tells of a failure.
func statusesOf(f snapshot.PullFailure) string {
	if f.Init {
		return "initContainerStatuses"
	}
	return "containerStatuses"
}

// reason is the part of a runtime's message that begins with the failed look-up.
func reason(message string) string {
	if i := strings.Index(message, "lookup "); i >= 0 {
		message = message[i:]
	}
	return finding.Quote(message)
}

// sufferers are the pods whose images could not be pulled, each once, and when the first began to
// want one.
func sufferers(failures []snapshot.PullFailure) (pods []finding.Subject, since time.Time) {
	for _, f := range failures {
		if !f.Since.IsZero() && (since.IsZero() || f.Since.Before(since)) {
			since = f.Since
		}
		if s := snapshot.SubjectOf(f.Pod); !slices.Contains(pods, s) {
			pods = append(pods, s)
		}
	}
	return pods, since
}

// pulledElsewhere finds an Event of a pull from one of the registries that succeeded on another
// node meanwhile (k8s.io/kubernetes/pkg/kubelet/images/image_manager.go, "Successfully pulled image").
func pulledElsewhere(s *snapshot.Snapshot, broken snapshot.BrokenResolver, since time.Time) *corev1.Event {
	registries := map[string]bool{}
	for _, f := range broken.Failures {
		registries[snapshot.ParseImage(f.Image).Registry] = true
	}
	for _, e := range snapshot.List[*corev1.Event](s) {
		image, ok := strings.CutPrefix(e.Message, `Successfully pulled image "`)
		image, _, _ = strings.Cut(image, `"`)
		if ok && e.Source.Host != "" && e.Source.Host != broken.Node && snapshot.EventTime(e).After(since) &&
			registries[snapshot.ParseImage(image).Registry] {
			return e
		}
	}
	return nil
}
