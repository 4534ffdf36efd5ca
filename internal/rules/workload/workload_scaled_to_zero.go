package workload

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "WorkloadScaledToZero",
	Title: finding.Text{EN: "workload that others need is scaled to zero", KO: "사용 중인 워크로드의 replicas가 0입니다"},
	Doc: finding.Text{
		EN: "Somebody scaled a workload to zero within the last day, and something still sends requests to its Service: an Ingress, a webhook or an aggregated " +
			"API. Who did it and when is told as far as the object's managed fields say. Where it was longer ago it is only worth knowing, for it may be meant. " +
			"Left alone: workloads without a Service or with one that nothing refers to, and those that an autoscaler scales.",
		KO: "하루 안에 누군가 워크로드를 0으로 줄였는데 Ingress, webhook, aggregated API가 여전히 그 Service로 요청을 보냅니다. 객체의 managedFields로 알 수 있는 범위에서 변경 주체와 시각을 알립니다. " +
			"더 오래된 경우는 의도한 것일 수 있으므로 info로 알립니다. Service가 없거나 Service를 참조하는 것이 없는 워크로드와 autoscaler가 관리하는 워크로드는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#scaling-a-deployment",
	Severity: finding.Warning,
	Needs: append([]rule.Need{
		rule.Any[*appsv1.Deployment](), rule.Any[*appsv1.StatefulSet](), rule.Optional[*corev1.ReplicationController](), rule.Whole[*corev1.Pod](), rule.Any[*corev1.Service](),
		rule.Optional[*networkingv1.Ingress](), rule.Optional[*autoscalingv2.HorizontalPodAutoscaler](),
		rule.Optional[*appsv1.DaemonSet](), rule.Optional[*corev1.Event](), rule.Optional[*appsv1.ReplicaSet](),
	}, extensionNeeds()...),
	Detect: workloadScaledToZero,
})

// scaledLately is how long ago a workload may have been scaled to zero to be more than worth knowing.
const scaledLately = 24 * time.Hour

// scalers are parts of the names under which autoscalers write: what they scale to zero they scale up
// again when they see need.
// Flagger and Argo Rollouts keep a second workload for the next version, mostly without pods.
var scalers = []string{"keda", "knative", "scaler", "kube-controller-manager", "flagger", "rollouts-controller", "sablier", "faas-netes"}

func workloadScaledToZero(p *rule.Pass) {
	var callers map[finding.Subject][]finding.Subject
	scaled := map[finding.Subject]bool{}
	for _, h := range snapshot.List[*autoscalingv2.HorizontalPodAutoscaler](p.Snapshot) {
		scaled[targetOf(h)] = true
	}
	for _, r := range replicasOf(p) {
		if r.desired > 0 || r.subject.Kind == "DaemonSet" || scaled[r.subject] || r.object.GetDeletionTimestamp() != nil {
			continue
		}
		manager, at := scaledBy(r.object)
		if slices.ContainsFunc(scalers, func(word string) bool { return strings.Contains(manager, word) }) {
			continue
		}
		services := servicesOf(p, r)
		if len(services) == 0 {
			continue
		}
		if callers == nil {
			callers = callersOfServices(p)
		}
		var calling []finding.Subject
		for _, svc := range services {
			calling = append(calling, callers[svc]...)
		}
		if len(calling) > 0 {
			p.Report(scaledToZero(p, r, services, calling, manager, at))
		}
	}
}

// scaledBy is who last wrote how many replicas a workload has: through its scale subresource, else with
// the rest of its spec.
func scaledBy(o metav1.Object) (manager string, at time.Time) {
	for _, f := range o.GetManagedFields() {
		if f.Subresource == "scale" && f.Time != nil && f.Time.After(at) {
			manager, at = f.Manager, f.Time.Time
		}
	}
	if manager != "" {
		return manager, at
	}
	return snapshot.LastManager(o)
}

// callersOfServices returns what refers to each Service as where to send requests.
func callersOfServices(p *rule.Pass) map[finding.Subject][]finding.Subject {
	out := map[finding.Subject][]finding.Subject{}
	add := func(namespace, name string, caller finding.Subject) {
		svc := finding.Subject{Kind: "Service", Namespace: namespace, Name: name}
		if !slices.Contains(out[svc], caller) {
			out[svc] = append(out[svc], caller)
		}
	}
	for _, ing := range snapshot.List[*networkingv1.Ingress](p.Snapshot) {
		for _, b := range ingressBackends(ing) {
			if b.Service != nil {
				add(ing.Namespace, b.Service.Name, snapshot.SubjectOf(ing))
			}
		}
	}
	for _, e := range extensions(p) {
		add(e.namespace, e.service, snapshot.SubjectOf(e.by))
	}
	return out
}

func ingressBackends(ing *networkingv1.Ingress) []networkingv1.IngressBackend {
	var out []networkingv1.IngressBackend
	if ing.Spec.DefaultBackend != nil {
		out = append(out, *ing.Spec.DefaultBackend)
	}
	for _, r := range ing.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for _, path := range r.HTTP.Paths {
			out = append(out, path.Backend)
		}
	}
	return out
}

func scaledToZero(p *rule.Pass, r replicas, services, calling []finding.Subject, manager string, at time.Time) finding.Finding {
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismStopped, Field: ".spec.replicas", Since: at,
		Title:    finding.Textf("%s: scaled to zero, and still called", "%s: replicas가 0이지만 여전히 호출됩니다", finding.Named(r.subject)),
		Evidence: []finding.Evidence{{Source: finding.Named(r.subject), Path: ".spec.replicas", Value: "0", At: finding.Timestamp(at)}},
	}
	if at.IsZero() || p.Now().Sub(at) > scaledLately {
		f.Severity = finding.Info
	}
	names := make([]string, 0, len(calling))
	for _, c := range calling {
		names = append(names, finding.Named(c))
	}
	f.Why = finding.Format("these send requests to its Service, which has no other pods: %s", "Service에 다른 Pod가 없는데 다음 객체가 그 Service로 요청을 보냅니다: %s", finding.List(names))
	restore := 1
	if manager != "" {
		f.Why = finding.Join("; ", finding.Textf("last written at %s by %q", "마지막 변경 %s, 변경 주체 %q", finding.Clock(p.Now(), at), manager), f.Why)
	}
	if n, e := lastSize(p, r.subject); n > 0 {
		restore = n
		f.Why = finding.Join("; ", f.Why, finding.Format("it had %s before", "이전에는 %s가 있었습니다", finding.Pods(n)))
		f.Evidence = append(f.Evidence, e)
	}
	f.Explains = slices.Concat(services, calling)
	slices.SortFunc(f.Explains, finding.CompareSubjects)
	f.Explains = slices.Compact(f.Explains)
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Text{EN: "scale it up again, unless it is meant to be off", KO: "의도한 중지가 아니라면 다시 늘립니다"},
		Command: fmt.Sprintf("kubectl -n %s scale %s --replicas=%d", r.subject.Namespace, argument(r.subject), restore),
	}}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "where it is meant to be off, take away what calls it first", KO: "중지할 때는 호출하는 쪽을 먼저 정리하십시오",
	}}}
	return f
}

// scaledFrom matches the event of a Deployment that scales a ReplicaSet down to nothing
// (k8s.io/kubernetes/pkg/controller/deployment, scaleReplicaSet).
var scaledFrom = regexp.MustCompile(`^Scaled down replica set \S+ from (\d+) to 0$`)

// lastSize is how many replicas a Deployment had before it was scaled to zero, as its events tell; 0
// where they do not.
func lastSize(p *rule.Pass, subject finding.Subject) (int, finding.Evidence) {
	for _, e := range slices.Backward(p.EventsOf(subject)) {
		if m := scaledFrom.FindStringSubmatch(e.Message); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				return n, eventEvidence(e)
			}
		}
	}
	return 0, finding.Evidence{}
}
