package network

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "NetworkPolicyBlocks",
	Title: finding.Text{EN: "NetworkPolicy blocks traffic that pods need", KO: "NetworkPolicy가 Pod에 필요한 통신을 차단합니다"},
	Doc: finding.Text{
		EN: "A pod's log says that a name or a Service does not answer, and NetworkPolicies deny exactly that traffic: egress to cluster DNS, " +
			"or one of the ways to the pods behind the Service. Rules are evaluated as the API documents them (selectors, ipBlocks, named ports, ranges), " +
			"and the policy that was changed last is named, with who changed it. No object tells whether the network plugin enforces policies, so a denied way " +
			"alone is never a fault; that a policy leaves its pods no way to cluster DNS is a remark while they are well. Left alone: lines older than " +
			"the policy, names that do not exist (a server answered), pods of their node's network, and clusters with a DNS cache on each node, whose traffic " +
			"policies do not describe. Probes come from the pod's own node, which network plugins let through.",
		KO: "Pod의 로그에 이름 조회나 Service 호출의 응답이 없다는 기록이 있고, NetworkPolicy가 바로 그 통신(클러스터 DNS로 가는 egress, 또는 Service 뒤의 Pod까지의 경로)을 허용하지 않습니다. " +
			"selector, ipBlock, 이름으로 지정한 포트, 포트 범위를 API 정의대로 평가하며, 가장 나중에 바뀐 정책과 변경한 주체를 알립니다. 네트워크 플러그인이 정책을 실제로 적용하는지는 객체로 알 수 없으므로 허용되지 않은 경로만으로는 장애로 보지 않습니다. " +
			"Pod가 정상이면 클러스터 DNS로 가는 경로가 없다는 점만 참고로 알립니다. 정책보다 오래된 로그, 존재하지 않는 이름(서버가 응답한 경우), 노드 네트워크를 쓰는 Pod, 노드마다 DNS 캐시가 있는 클러스터의 DNS 통신은 제외합니다. probe는 같은 노드에서 오며 네트워크 플러그인이 허용합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/network-policies/",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs: slices.Concat(policyKinds(), []rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.Service](),
	}, rule.Owners()),
	CustomResources: true,
	For:             time.Minute,
	Detect:          networkPolicyBlocks,
})

// asked bounds the logs that the rule reads: those of pods in trouble, which other rules mostly ask
// for too, and those of pods that seem well and began before a policy that denies them something.
const (
	sickAsked = 6
	wellAsked = 4
)

// Pods that seem well are asked where a policy of their namespace was changed recently, and after
// they had settled: what is installed together with its policies works, or never has.
const (
	recent  = 24 * time.Hour
	settled = 2 * time.Minute
)

// reach is what the rule knows of a cluster.
type reach struct {
	*rule.Pass
	policies *policies
	dir      *directory
	dns      []dnsServer
	// foreign tells that other kinds of policies are there, which this rule does not evaluate.
	foreign bool
}

// dnsServer is a pod of cluster DNS and the port on which it answers.
type dnsServer struct {
	svc  *corev1.Service
	pod  *corev1.Pod
	port int32
}

func networkPolicyBlocks(p *rule.Pass) {
	r := reach{Pass: p, policies: readPolicies(p.Snapshot)}
	if len(r.policies.byNamespace) == 0 {
		return
	}
	r.dir, r.dns, r.foreign = newDirectory(p.Snapshot), dnsServers(p.Snapshot), foreignPolicies(p.Snapshot)
	found := map[*policy]*blockade{}
	suffering := map[finding.Subject]bool{}
	for _, c := range r.candidates() {
		answer, ok := p.Ask(snapshot.Question{
			Kind: snapshot.ContainerLog, Namespace: c.pod.Namespace, Name: c.pod.Name, Container: c.container, Previous: c.previous,
		})
		if !ok || answer.Outcome != snapshot.Answered {
			continue
		}
		for _, v := range r.victims(c, failedCalls(answer.Text)) {
			blockadeOf(found, v.barrier).victims = append(blockadeOf(found, v.barrier).victims, v)
			suffering[v.workload] = true
		}
	}
	r.withoutNames(found, suffering)
	for _, namespace := range slices.Sorted(maps.Keys(r.policies.byNamespace)) {
		for _, policy := range r.policies.byNamespace[namespace] {
			if b := found[policy]; b != nil {
				p.Report(b.finding(r))
			}
		}
	}
}

// candidate is a pod whose log may tell of a denied call.
type candidate struct {
	pod       *corev1.Pod
	workload  finding.Subject
	container string
	previous  bool
	// sick tells that the pod is seen to be in trouble.
	sick bool
}

// candidates are the pods to ask, one a workload: those in trouble first, and of them those that a
// policy of their own namespace may have to do with.
func (r reach) candidates() []candidate {
	var near, far, well []candidate
	seen := map[finding.Subject]bool{}
	changed := r.changed()
	for _, pod := range snapshot.List[*corev1.Pod](r.Snapshot) {
		if pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.DeletionTimestamp != nil || len(pod.Spec.Containers) == 0 || longFailed(r.Snapshot, pod) {
			continue
		}
		c := candidate{pod: pod, workload: r.Workload(pod)}
		c.container, c.previous, c.sick = trouble(r.Snapshot, pod)
		late := changed[pod.Namespace]
		switch {
		case seen[c.workload]:
			continue
		case c.sick && r.concerned(pod):
			near = append(near, c)
		case c.sick:
			far = append(far, c)
		case snapshot.PodReady(pod) && late.Sub(pod.CreationTimestamp.Time) > settled && r.concerned(pod):
			c.container = pod.Spec.Containers[0].Name
			well = append(well, c)
			continue // Another of its pods may be in trouble.
		default:
			continue
		}
		seen[c.workload] = true
	}
	well = slices.DeleteFunc(well, func(c candidate) bool {
		twice := seen[c.workload]
		seen[c.workload] = true
		return twice
	})
	sick := slices.Concat(near, far)
	return slices.Concat(sick[:min(len(sick), sickAsked)], well[:min(len(well), wellAsked)])
}

// jobFresh is how long ago a pod of a Job may have failed to tell of the present.
const jobFresh = time.Hour

// longFailed tells whether a pod failed for good, and not just now.
func longFailed(s *snapshot.Snapshot, pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodFailed {
		return false
	}
	for i := range pod.Status.ContainerStatuses {
		if ended := pod.Status.ContainerStatuses[i].State.Terminated; ended != nil && s.Now().Sub(ended.FinishedAt.Time) < jobFresh {
			return false
		}
	}
	return true
}

// changed is when a policy of each namespace was last changed, where that is recent.
func (r reach) changed() map[string]time.Time {
	out := map[string]time.Time{}
	for ns, policies := range r.policies.byNamespace {
		for _, p := range policies {
			if at := policyWritten(p); r.Now().Sub(at) < recent {
				out[ns] = finding.Later(out[ns], at)
			}
		}
	}
	return out
}

// policyWritten is when a policy was last changed, or made.
func policyWritten(p *policy) time.Time {
	return finding.Later(p.CreationTimestamp.Time, snapshot.SpecWritten(p.NetworkPolicy))
}

// trouble names the container of a pod that keeps ending or runs without being ready, and whether it
// is its previous run that tells why.
func trouble(s *snapshot.Snapshot, pod *corev1.Pod) (container string, previous, found bool) {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			c := &statuses[i]
			if c.RestartCount > 0 && !c.Ready && c.LastTerminationState.Terminated != nil || c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 {
				return c.Name, c.State.Terminated == nil, true
			}
		}
	}
	if snapshot.PodReady(pod) || s.PodStarting(pod) {
		return "", false, false
	}
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.State.Running != nil && !c.Ready {
			return c.Name, false, true
		}
	}
	return "", false, false
}

// concerned tells whether a policy isolates what a pod sends, or pods of its namespace that it may
// call: then its log may tell of it.
func (r reach) concerned(pod *corev1.Pod) bool {
	return len(r.policies.isolating(pod, true)) > 0 ||
		slices.ContainsFunc(r.policies.byNamespace[pod.Namespace], func(p *policy) bool { return p.ingress })
}
