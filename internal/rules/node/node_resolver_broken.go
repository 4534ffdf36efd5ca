package node

import (
	"fmt"
	"regexp"
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
		KO: "Node에서 이름을 해석하지 못함",
	},
	Doc: finding.Text{
		EN: "Image pulls on one node fail while looking up the registry's name, and no other node has that trouble: the machine's own resolver (/etc/resolv.conf) is at fault, not the " +
			"images and not cluster DNS, which image pulls do not use. A registry whose name fails on several nodes is left to RegistryUnreachable. An answer that the name does not exist counts " +
			"only where other nodes run images of that registry, or several registries fail: otherwise the image's name may simply be mistyped.",
		KO: "한 Node에서만 registry 이름을 조회하지 못해 image pull이 실패합니다. image나 클러스터 DNS(image pull은 사용하지 않음)가 아니라 그 machine의 resolver(/etc/resolv.conf) 문제입니다. 여러 Node에서 같은 registry 이름이 실패하면 " +
			"RegistryUnreachable로 다룹니다. 이름이 없다는 응답은 다른 Node가 그 registry의 image를 실행 중이거나 여러 registry가 실패할 때만 문제로 봅니다. 그렇지 않으면 image 이름의 오타일 수 있습니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/containers/images/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Whole[*corev1.Pod](), rule.Optional[*corev1.Event]()},
	For:      30 * time.Second,
	Detect:   detectNodeResolverBroken,
})

// lookupFailed is how Go's net.DNSError reads in a runtime's message: the name, the server that was
// asked where it is known, and what went wrong.
var lookupFailed = regexp.MustCompile(`lookup ([^\s:]+)(?: on \S+)?: (.+)`)

// nameUnknown is what a resolver that works says of a name that does not exist (net.errNoSuchHost).
const nameUnknown = "no such host"

// lookup is a failed look-up of a registry's name during an image pull.
type lookup struct {
	pod *corev1.Pod
	// container that waits for the image, and the list of statuses that it stands in.
	container, list string
	// host that could not be looked up.
	host string
	// answered tells that the resolver answered, and knew no such name.
	answered bool
	message  string
}

func detectNodeResolverBroken(p *rule.Pass) {
	byNode := map[string][]lookup{}
	nodesOf := map[string][]string{}
	var nodes []string
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		for _, l := range lookups(pod) {
			node := pod.Spec.NodeName
			if byNode[node] == nil {
				nodes = append(nodes, node)
			}
			byNode[node] = append(byNode[node], l)
			if !slices.Contains(nodesOf[l.host], node) {
				nodesOf[l.host] = append(nodesOf[l.host], node)
			}
		}
	}
	slices.Sort(nodes)
	for _, node := range nodes {
		own := slices.DeleteFunc(byNode[node], func(l lookup) bool { return len(nodesOf[l.host]) > 1 })
		if len(own) > 0 {
			judge(p, node, own)
		}
	}
}

// lookups returns the look-ups that fail in a pod's image pulls.
func lookups(pod *corev1.Pod) []lookup {
	if pod.Spec.NodeName == "" || pod.DeletionTimestamp != nil {
		return nil
	}
	var out []lookup
	read := func(list string, statuses []corev1.ContainerStatus) {
		for i := range statuses {
			w := statuses[i].State.Waiting
			if w == nil || (w.Reason != "ErrImagePull" && w.Reason != "ImagePullBackOff") {
				continue
			}
			if m := lookupFailed.FindStringSubmatch(w.Message); m != nil {
				out = append(out, lookup{
					pod: pod, container: statuses[i].Name, list: list, host: m[1],
					answered: strings.Contains(m[2], nameUnknown), message: w.Message,
				})
			}
		}
	}
	read("initContainerStatuses", pod.Status.InitContainerStatuses)
	read("containerStatuses", pod.Status.ContainerStatuses)
	return out
}

// judge reports a node's failed look-ups where they are the node's own fault.
func judge(p *rule.Pass, node string, own []lookup) {
	hosts, silent := map[string]bool{}, false
	first := own[0]
	since := p.Now()
	var pods []finding.Subject
	for _, l := range own {
		hosts[l.host] = true
		if !l.answered && !silent {
			first, silent = l, true
		}
		if t := began(l.pod); t.Before(since) {
			since = t
		}
		if s := snapshot.SubjectOf(l.pod); !slices.Contains(pods, s) {
			pods = append(pods, s)
		}
	}
	elsewhere, where := runsElsewhere(p.Snapshot, node, hosts)
	if !silent && elsewhere == 0 && len(hosts) < 2 {
		return
	}
	f := finding.Finding{
		Subject:    finding.Subject{Kind: "Node", Name: node},
		Mechanism:  v1alpha1.MechanismMisconfigured,
		Field:      "/etc/resolv.conf",
		Confidence: v1alpha1.ConfidenceMedium,
		Since:      since,
		Title:      finding.Textf("node %s: registry names cannot be looked up", "Node %s: registry 이름을 조회하지 못함", node),
		Why: finding.Textf("Images cannot be pulled (%d pods) because looking up %s fails on this node and on no other: %s. Image pulls use the machine's resolver, not cluster DNS.",
			"이 Node에서만 %[2]s 조회가 실패하여 Pod %[1]d개가 image를 pull하지 못합니다: %[3]s. image pull은 클러스터 DNS가 아니라 machine의 resolver를 사용합니다.",
			len(pods), first.host, finding.Quote(lookupFailed.FindString(first.message))),
		Explains: pods,
		Evidence: []finding.Evidence{{
			Source: "Pod " + first.pod.Namespace + "/" + first.pod.Name, Path: fmt.Sprintf(".status.%s[%s].state.waiting.message", first.list, first.container),
			Value: finding.Quote(lookupFailed.FindString(first.message)),
		}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Text{EN: "which servers does the machine ask, and do they answer", KO: "machine이 사용하는 DNS 서버와 응답 여부를 확인합니다"},
				Command: "cat /etc/resolv.conf; getent hosts " + first.host, Machine: node,
			}},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "name two resolvers on every node, and let one tool write resolv.conf",
				KO: "모든 Node에 resolver를 2개 이상 지정하고 resolv.conf는 한 도구로만 관리합니다",
			}}},
		},
	}
	if elsewhere > 0 {
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Textf("the registry's name: other nodes run images from there (%d containers)",
			"registry 이름: 다른 Node의 container %d개가 같은 registry의 image를 실행 중입니다", elsewhere)})
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Text{EN: "the same on a node without the trouble, to compare", KO: "정상인 Node에서 같은 명령을 실행하여 비교합니다"},
			Command: "cat /etc/resolv.conf; getent hosts " + first.host, Machine: where,
		})
	}
	if e := pulledElsewhere(p.Snapshot, node, since); e != nil {
		f.Confidence = v1alpha1.ConfidenceHigh
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "Event on node " + e.Source.Host, Path: e.Reason, Value: finding.Quote(e.Message), At: timestamp(e.LastTimestamp),
		})
	}
	p.Report(f)
}

// began is when a pod began to want its images.
func began(pod *corev1.Pod) time.Time {
	if pod.Status.StartTime != nil {
		return pod.Status.StartTime.Time
	}
	return pod.CreationTimestamp.Time
}

// runsElsewhere counts the containers on other nodes that run images of the given registries, and
// names one such node.
func runsElsewhere(s *snapshot.Snapshot, node string, hosts map[string]bool) (count int, where string) {
	for _, pod := range snapshot.List[*corev1.Pod](s) {
		if pod.Spec.NodeName == "" || pod.Spec.NodeName == node {
			continue
		}
		for i := range pod.Status.ContainerStatuses {
			c := &pod.Status.ContainerStatuses[i]
			if c.State.Running != nil && hosts[registryHost(c.Image)] {
				count++
				where = pod.Spec.NodeName
			}
		}
	}
	return count, where
}

// dockerHub is the host that serves images without a registry in their name
// (github.com/containerd/containerd/core/remotes/docker, DefaultHost).
const dockerHub = "registry-1.docker.io"

// registryHost is the host, without port, that an image's name is pulled from.
func registryHost(image string) string {
	first, _, ok := strings.Cut(image, "/")
	if !ok || (!strings.ContainsAny(first, ".:") && first != "localhost") || first == "docker.io" {
		return dockerHub
	}
	host, _, _ := strings.Cut(first, ":")
	return host
}

// pulledElsewhere finds an Event of a pull that succeeded on another node meanwhile
// (k8s.io/kubernetes/pkg/kubelet/images/image_manager.go, "Successfully pulled image").
func pulledElsewhere(s *snapshot.Snapshot, node string, since time.Time) *corev1.Event {
	for _, e := range snapshot.List[*corev1.Event](s) {
		if e.Reason == "Pulled" && strings.HasPrefix(e.Message, "Successfully pulled") && e.Source.Host != "" &&
			e.Source.Host != node && snapshot.EventTime(e).After(since) {
			return e
		}
	}
	return nil
}
