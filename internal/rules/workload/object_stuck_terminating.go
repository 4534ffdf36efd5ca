package workload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// stuckKinds are the kinds, beside Pods, Namespaces and custom resources, that finalizers keep most
// often.
var stuckKinds = []snapshot.Kind{
	snapshot.KindOf[*corev1.Service](), snapshot.KindOf[*corev1.PersistentVolumeClaim](), snapshot.KindOf[*corev1.PersistentVolume](),
	snapshot.KindOf[*appsv1.Deployment](), snapshot.KindOf[*appsv1.StatefulSet](), snapshot.KindOf[*appsv1.DaemonSet](),
	snapshot.KindOf[*batchv1.Job](), snapshot.KindOf[*batchv1.CronJob](), snapshot.KindOf[*apiextensionsv1.CustomResourceDefinition](),
}

func stuckNeeds() []rule.Need {
	needs := []rule.Need{rule.Optional[*corev1.Namespace](), rule.Optional[*corev1.Pod]()}
	for _, k := range stuckKinds {
		needs = append(needs, rule.Need{Kind: k, Demand: rule.DemandNone})
	}
	return needs
}

var _ = Catalog.Add(rule.Rule{
	Code:  "ObjectStuckTerminating",
	Title: finding.Text{EN: "object does not go away", KO: "객체가 삭제되지 않습니다"},
	Doc: finding.Text{
		EN: "An object was deleted ten minutes ago or longer and is still there, because of finalizers that nobody removes: mostly its controller was " +
			"removed first, or cannot do the clean-up (a cloud that refuses to delete a load balancer, a claim that a pod still uses). Objects of one " +
			"kind that the same finalizers hold are one finding. A namespace that is being deleted waits for them. Left alone: deletions of the last minutes, " +
			"and for an hour custom resources whose controller says that it is deleting what they stand for.",
		KO: "삭제된 지 10분이 지난 객체가 아무도 제거하지 않는 finalizer 때문에 남아 있습니다. 대개 담당 controller가 먼저 삭제되었거나 정리 작업을 마치지 못하는 경우입니다(로드 밸런서 삭제 거부, Pod가 아직 사용 중인 PVC 등). " +
			"같은 finalizer에 걸린 같은 종류의 객체는 하나로 묶어 알립니다. 삭제 중인 namespace는 이 객체들을 기다립니다. 최근에 삭제된 객체와, controller가 실제 자원을 삭제하는 중이라고 알리는 custom resource(1시간까지)는 제외합니다.",
	},
	Link:            "https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/",
	Severity:        finding.Warning,
	Needs:           stuckNeeds(),
	CustomResources: true,
	For:             10 * time.Minute,
	Causes: []rule.Cause{
		{Code: "PodStuckTerminating", Via: rule.Claimed},
		{Code: "ObjectStuckTerminating", Via: rule.Claimed},
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: heldByKubernetes},
	},
	Detect: objectStuckTerminating,
})

// heldByKubernetes holds a dead controller manager against objects with finalizers that it removes.
func heldByKubernetes(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	for _, e := range effect.Evidence {
		if e.Path == ".metadata.finalizers" {
			return slices.ContainsFunc(strings.Split(e.Value, ", "), isKubernetes)
		}
	}
	return false
}

// stuckObject is an object with finalizers that is to be gone.
type stuckObject struct {
	kind    snapshot.Kind
	custom  bool
	subject finding.Subject
	meta    metav1.Object
}

func (o stuckObject) finalizers() string { return strings.Join(o.meta.GetFinalizers(), ", ") }

func stuckObjects(p *rule.Pass) []stuckObject {
	var all []stuckObject
	for _, k := range stuckKinds {
		p.Each(k, func(o snapshot.Object) {
			if o.GetDeletionTimestamp() != nil && len(o.GetFinalizers()) > 0 {
				all = append(all, stuckObject{k, false, snapshot.SubjectOf(o), o})
			}
		})
	}
	for _, r := range p.CustomResources() {
		if r.DeletionTimestamp != nil && len(r.Finalizers) > 0 && (!takenApart(r) || p.Now().Sub(r.DeletionTimestamp.Time) > customWorking) {
			all = append(all, stuckObject{r.Kind, true, r.Subject(), &r.ObjectMeta})
		}
	}
	return all
}

// takenApart tells whether the controller of a custom resource says that it takes down what the object
// stands for. A database or a machine in a cloud takes its time for that.
func takenApart(r *snapshot.CustomResource) bool {
	going := []string{"Deleting", "Terminating", "Draining", "Deprovisioning", "InstanceTerminating"}
	return slices.Contains(going, r.Phase) || slices.ContainsFunc(r.Conditions, func(c metav1.Condition) bool {
		return slices.Contains(going, c.Reason) || (c.Status == metav1.ConditionTrue && slices.Contains(going, c.Type))
	})
}

func objectStuckTerminating(p *rule.Pass) {
	type hold struct {
		kind       snapshot.Kind
		finalizers string
	}
	held := map[hold][]stuckObject{}
	var order []hold
	for _, o := range stuckObjects(p) {
		h := hold{o.kind, o.finalizers()}
		if held[h] == nil {
			order = append(order, h)
		}
		held[h] = append(held[h], o)
	}
	told := map[finding.Subject]bool{}
	for _, h := range order {
		f := stuckTogether(p, held[h])
		if told[f.Subject] { // A custom kind may have the name of another.
			f.Subject = definitionOf(h.kind)
		}
		if !told[f.Subject] {
			told[f.Subject] = true
			p.Report(f)
		}
	}
}

func stuckTogether(p *rule.Pass, objects []stuckObject) finding.Finding {
	slices.SortStableFunc(objects, func(a, b stuckObject) int {
		return a.meta.GetDeletionTimestamp().Compare(b.meta.GetDeletionTimestamp().Time)
	})
	first := objects[0]
	since := first.meta.GetDeletionTimestamp().Time
	f := finding.Finding{
		Subject: first.subject, Mechanism: v1alpha1.MechanismHung, Field: ".metadata.finalizers", Since: since,
		Title: finding.Textf("%s: deleted, and held by its finalizers", "%s: 삭제되었으나 finalizer 때문에 남아 있습니다", finding.Named(first.subject)),
		Evidence: []finding.Evidence{
			{Source: finding.Named(first.subject), Path: ".metadata.deletionTimestamp", Value: since.UTC().Format(time.RFC3339), At: finding.Timestamp(since)},
			{Source: finding.Named(first.subject), Path: ".metadata.finalizers", Value: first.finalizers()},
		},
	}
	if more := len(objects) - 1; more > 0 {
		f.Title = finding.Textf("%s and %d more: deleted, and held by their finalizers", "%s 외 %d개: 삭제되었으나 finalizer 때문에 남아 있습니다", finding.Named(first.subject), more)
	}
	texts := []finding.Text{
		finding.Textf("deleted at %s", "%s에 삭제되었습니다", finding.Clock(p.Now(), since)), tellFinalizers(first.meta.GetFinalizers()),
	}
	if by := writersOf(first.meta); len(by) > 0 {
		texts = append(texts, finding.Format("it was written by %s", "이 객체를 변경한 주체: %s", finding.List(by)))
	}
	if users := claimUsers(p, first); len(users) > 0 {
		texts = append(texts, finding.Format("pods that use it: %s; it goes when the last of them ends, and its data may go with it",
			"사용 중인 Pod: %s. 마지막 Pod가 종료되면 삭제되며 데이터도 함께 없어질 수 있습니다", finding.List(users)))
	}
	f.Why = finding.Join("; ", texts...)
	f.Explains = waitForObjects(p, objects)
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "see its finalizers, and what its controller says of it", KO: "finalizer와 controller의 메시지를 확인합니다"},
			Command: describeCommand(first),
		},
		{Text: finding.Text{
			EN: "see whether the controller that owns the finalizer runs; bring it back, and it finishes the deletion",
			KO: "finalizer를 담당하는 controller가 실행 중인지 확인하고 복구합니다. 복구되면 삭제가 마무리됩니다",
		}},
		neverStrip(),
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "remove a controller only after everything that it looks after is gone", KO: "controller는 관리하는 객체가 모두 없어진 뒤에 제거하십시오",
	}}}
	return f
}

// describeCommand describes an object, of whatever kind.
func describeCommand(o stuckObject) string {
	namespace := ""
	if o.subject.Namespace != "" {
		namespace = " -n " + o.subject.Namespace
	}
	return fmt.Sprintf("kubectl%s describe %s %s", namespace, o.kind.GroupResource(), o.subject.Name)
}

// claimUsers names the pods that use a claim.
func claimUsers(p *rule.Pass, o stuckObject) []string {
	if o.subject.Kind != "PersistentVolumeClaim" {
		return nil
	}
	var out []string
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Namespace != o.subject.Namespace || snapshot.PodDone(pod) {
			continue
		}
		if slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == o.subject.Name
		}) {
			out = append(out, pod.Name)
		}
	}
	return out
}

// waitForObjects names what cannot go before some objects are gone: the namespaces that are being
// deleted around them, and the CustomResourceDefinition of their kind.
func waitForObjects(p *rule.Pass, objects []stuckObject) []finding.Subject {
	var out []finding.Subject
	for _, o := range objects {
		if ns, ok := snapshot.Get[*corev1.Namespace](p.Snapshot, "", o.subject.Namespace); ok && ns.DeletionTimestamp != nil {
			out = append(out, snapshot.SubjectOf(ns))
		}
	}
	crd := objects[0].kind.GroupResource()
	if c, ok := snapshot.Get[*apiextensionsv1.CustomResourceDefinition](p.Snapshot, "", crd); ok && objects[0].custom && c.DeletionTimestamp != nil {
		out = append(out, snapshot.SubjectOf(c))
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}
