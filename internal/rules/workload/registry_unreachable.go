package workload

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "RegistryUnreachable",
	Title: finding.Textf("image registry cannot be used", "이미지 registry를 사용할 수 없습니다"),
	Doc: finding.Textf(
		"Nodes cannot get images from a registry: its name does not resolve, nothing listens, no answer comes back, no secure connection comes about, it answers with an "+
			"error of its own, or it allows no more pulls for now. One finding a registry, whatever the number of images. Running pods go on; nothing new starts "+
			"unless its image is on the node. Silent when a single node cannot resolve names while others can (NodeResolverBroken), when the registry answers about the image "+
			"(ImageNotFound, ImagePullDenied), and when the kubelet's own limit holds a pull back (pull QPS exceeded), which passes by itself.",
		"노드가 registry에서 이미지를 받지 못합니다. 이름이 조회되지 않거나, 연결이 거부되거나, 응답이 없거나, TLS 연결이 성립하지 않거나, registry가 자체 오류를 내거나, "+
			"pull 한도를 넘은 경우입니다. 이미지 수와 관계없이 registry마다 한 건으로 보고합니다. 실행 중인 Pod는 영향을 받지 않지만 노드에 이미지가 없는 Pod는 새로 시작하지 못합니다. "+
			"노드 하나만 이름을 조회하지 못하면 NodeResolverBroken에서, registry가 이미지에 대해 응답하면 ImageNotFound·ImagePullDenied에서 다룹니다. "+
			"kubelet 자체의 제한(pull QPS exceeded)은 저절로 풀리므로 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff",
	Severity: finding.Warning,
	Needs:    pullNeeds(),
	For:      pullPatience,
	Causes:   []rule.Cause{{Code: "NodeResolverBroken", Via: rule.Cluster, Holds: looksUpThere}},
	Detect:   detectRegistryUnreachable,
})

// looksUpThere tells whether all that fails are look-ups on the cause's node.
func looksUpThere(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	for _, e := range effect.Evidence {
		if _, ok := snapshot.ParseLookUp(e.Value); !ok {
			return false
		}
	}
	return runOn(s, effect.Explains, cause.Subject)
}

// runOn tells whether pods are bound to a node, all of them.
func runOn(s *snapshot.Snapshot, pods []finding.Subject, node finding.Subject) bool {
	for _, subject := range pods {
		p, ok := snapshot.Get[*corev1.Pod](s, subject.Namespace, subject.Name)
		if !ok || node.Kind != "Node" || p.Spec.NodeName != node.Name {
			return false
		}
	}
	return len(pods) > 0
}

// registryClasses are the ways in which a registry fails rather than an image.
var registryClasses = map[pullClass]bool{
	pullNoName: true, pullNoConnection: true, pullTLS: true, pullServerError: true, pullLimited: true,
}

func detectRegistryUnreachable(p *rule.Pass) {
	all := p.PullFailures()
	nodesFault := map[string]bool{}
	for _, r := range p.BrokenResolvers(all) {
		for _, host := range r.Hosts {
			nodesFault[host] = true
		}
	}
	var failures []snapshot.PullFailure
	for _, f := range all {
		l, _ := snapshot.ParseLookUp(f.Message)
		if registryClasses[classifyPull(f)] && !nodesFault[l.Host] {
			failures = append(failures, f)
		}
	}
	for _, g := range groupBy(failures, registryOf) {
		p.Report(registryUnreachable(p, g))
	}
}

// requests match the URL of the request that failed, in Go's words (net/url, Error.Error).
var requests = regexp.MustCompile(`(?:Head|Get|Post|HEAD request to|GET request to|POST request to) "?https?://([^/"\s]+)`)

// registryOf is the host that could not be used: the one that was asked, which for a mirror or a
// token server is not the one in the image's name.
func registryOf(f snapshot.PullFailure) finding.Subject {
	host := snapshot.ParseImage(f.Image).Registry
	if m := requests.FindStringSubmatch(f.Message); m != nil {
		host = m[1]
	}
	return finding.Subject{Kind: "Endpoint", Name: clip(host, imageRunes)}
}

// pasteable is a host that may stand in a command: image names are written by anybody.
var pasteable = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]+$`)

func registryUnreachable(p *rule.Pass, g group[snapshot.PullFailure]) finding.Finding {
	first, pods, host := g.Items[0], pullPods(g.Items), g.Subject.Name
	nodes := nodesOf(pods)
	f := finding.Finding{
		Subject: g.Subject, Since: pullSince(g.Items),
		Evidence: []finding.Evidence{pullEvidence(first)},
	}
	var said finding.Text
	f.Mechanism, said = registryFailure(first)
	f.Title = finding.Join(" ", finding.Format("registry %s: %s", "registry %s: %s", finding.Verbatim(host), said))
	f.Why = finding.Join("; ",
		inQuotes(reasonOf(first.Message)),
		finding.Format("seen from %s, for image %s", "확인된 노드: %s, 이미지: %s", finding.List(nodes), imagesOf(g.Items)))
	if mirrored := snapshot.ParseImage(first.Image).Registry; mirrored != host && mirrored != "docker.io" {
		f.Why = finding.Join("; ", f.Why, finding.Textf("%s is asked for images of %s", "%[2]s 이미지를 %[1]s에 요청합니다", host, mirrored))
	}
	if ok := pulledSince(p.Snapshot, g); ok != "" {
		f.Confidence = mediumConfidence
		f.Why = finding.Join("; ", f.Why, finding.Textf("node %s has pulled from it since, so not every node is concerned",
			"그 뒤에 노드 %s에서는 pull에 성공했으므로 모든 노드의 문제는 아닙니다", ok))
	}
	if classifyPull(first) == pullNoName {
		f.RuledOut = []finding.Statement{{Text: finding.Textf(
			"the cluster's DNS: nodes resolve registries with their own resolver, not with CoreDNS",
			"클러스터 DNS 문제가 아닙니다. 노드는 CoreDNS가 아니라 자체 resolver로 registry 이름을 조회합니다")}}
	}
	f.Remedies = registryRemedies(classifyPull(first), host, nodes)
	return aboutPods(p.Snapshot, f, pods)
}

func registryFailure(f snapshot.PullFailure) (finding.Mechanism, finding.Text) {
	switch classifyPull(f) {
	case pullNoName:
		if l, _ := snapshot.ParseLookUp(f.Message); l.Unknown {
			return v1alpha1.MechanismMissing, finding.Textf("there is no such host", "존재하지 않는 host입니다")
		}
		return v1alpha1.MechanismUnreachable, finding.Textf("its name cannot be resolved", "이름을 조회할 수 없습니다")
	case pullTLS:
		return v1alpha1.MechanismMisconfigured, finding.Textf("no secure connection comes about", "TLS 연결이 성립하지 않습니다")
	case pullLimited:
		return v1alpha1.MechanismExhausted, finding.Textf("allows no more pulls for now", "pull 한도를 넘어 더 받을 수 없습니다")
	case pullServerError:
		return v1alpha1.MechanismFailing, finding.Textf("answers with an error of its own", "서버 오류로 응답합니다")
	default:
		if strings.Contains(f.Message, "connection refused") {
			return v1alpha1.MechanismRefused, finding.Textf("refuses connections", "연결을 거부합니다")
		}
		return v1alpha1.MechanismUnreachable, finding.Textf("does not answer", "응답하지 않습니다")
	}
}

// pulledSince names a node that pulled an image from the registry after the last failure began;
// empty where none is known to have.
func pulledSince(s *snapshot.Snapshot, g group[snapshot.PullFailure]) string {
	since := pullSince(g.Items)
	registry := snapshot.ParseImage(g.Items[0].Image).Registry
	for _, e := range snapshot.List[*corev1.Event](s) {
		// k8s.io/kubernetes/pkg/kubelet/images/image_manager.go.
		image, ok := strings.CutPrefix(e.Message, `Successfully pulled image "`)
		image, _, _ = strings.Cut(image, `"`)
		if ok && e.Reason == "Pulled" && snapshot.EventTime(e).After(since) && snapshot.ParseImage(image).Registry == registry {
			return e.Source.Host
		}
	}
	return ""
}

func registryRemedies(class pullClass, host string, nodes []string) finding.Remedies {
	var node string
	if len(nodes) > 0 {
		node = nodes[0]
	}
	ask := finding.Remedy{
		Text:    finding.Textf("see where the way to the registry ends", "registry까지의 경로가 어디에서 끊기는지 확인합니다"),
		Command: "curl -sv -m 10 -o /dev/null https://" + host + "/v2/", Machine: node,
	}
	if class == pullNoName {
		name, _, _ := strings.Cut(host, ":")
		ask = finding.Remedy{
			Text:    finding.Textf("see what the node's resolver answers; mend the name in DNS or in the image", "노드의 resolver 응답을 확인하고 DNS나 이미지에 적힌 이름을 바로잡습니다"),
			Command: "getent hosts " + name, Machine: node,
		}
	}
	if class == pullLimited {
		ask = finding.Remedy{Text: finding.Textf("pull with an account, or through a mirror; the limit ends by itself, within hours",
			"계정으로 인증해 받거나 mirror를 거쳐 받습니다. 제한은 몇 시간 안에 저절로 풀립니다")}
	}
	if !pasteable.MatchString(host) {
		ask.Command = ""
	}
	return finding.Remedies{
		Now: []finding.Remedy{ask},
		Later: []finding.Remedy{{Text: finding.Textf(
			"keep a mirror of the images near the cluster, so that one registry's outage stops no pod from starting",
			"registry 한 곳의 장애로 Pod가 시작하지 못하는 일이 없도록 클러스터 가까이에 mirror를 두십시오")}},
	}
}
