package workload

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// complaint is what a custom resource's own status says is wrong with it.
type complaint struct {
	resource *snapshot.CustomResource
	// word that says what is wrong, alike for all that suffer alike: a condition's type and reason, or a phase.
	word    string
	message string
	path    string
	value   string
	// since is when it began; zero where the status does not say.
	since time.Time
	// underWay tells that its controller says that it works on it.
	underWay bool
}

// badWhenTrue are condition types that tell of trouble when they are true: those of the conventions of
// kstatus (sigs.k8s.io/cli-utils/pkg/kstatus) and of operators that followed OpenShift's
// (github.com/openshift/api/config/v1, ClusterStatusConditionType; Failing is that of its
// ClusterVersion), those of subscriptions of the Operator Lifecycle Manager
// (github.com/operator-framework/api/pkg/operators/v1alpha1), and Strimzi's NotReady
// (https://strimzi.io/docs/operators/latest/deploying, status of custom resources).
var badWhenTrue = []string{
	"Stalled", "Degraded", "Failed", "Failure", "Failing", "ReconcileError", "ErrorOccurred", "ResolutionFailed", "CatalogSourcesUnhealthy", "InstallPlanFailed",
	"NotReady",
}

// badWhenFalse are condition types that tell of trouble when they are false. Synced is that of
// Crossplane (github.com/crossplane/crossplane-runtime/apis/common/v1), Installed that of a
// ClusterExtension (github.com/operator-framework/operator-controller/api/v1).
var badWhenFalse = []string{"Ready", "Available", "Healthy", "Synced", "Reconciled", "Installed"}

// atWork are condition types that say, when they are true, that a controller works on the object.
var atWork = []string{"Reconciling", "Progressing", "Creating", "Updating", "Upgrading", "Installing", "Deploying"}

// leftAlone are the words with which an object says that nothing is meant to go on with it. The last
// two are phases in which a DataVolume waits for a pod that uses it
// (github.com/kubevirt/containerized-data-importer/pkg/apis/core/v1beta1).
var leftAlone = []string{
	"Suspended", "Paused", "Completed", "Succeeded", "Finished", "Disabled", "Stopped", "Hibernated", "ScaledToZero", "NotUsed", "Unused",
	"WaitForFirstConsumer", "PendingPopulation",
}

// meant are reasons for which a condition is false by intent, whatever others say: a virtual machine
// that is switched off (kubevirt.io/kubevirt/pkg/virt-controller/watch/vm, syncReadyConditionFromVMI),
// and what serves nobody and was scaled to zero (knative.dev/serving/pkg/reconciler/autoscaling/kpa).
var meant = []string{"VMINotExists", "NoTraffic"}

// badPhases are the phases that tell of trouble in kinds that say nothing in conditions: those of the
// Operator Lifecycle Manager (github.com/operator-framework/api/pkg/operators/v1alpha1) and of Argo CD
// (github.com/argoproj/gitops-engine/pkg/health).
var badPhases = []string{"Failed", "Failure", "Degraded", "Error", "Unhealthy"}

// runs are the endings of the names of kinds whose objects are one run of something: a failed one is
// history, and stays until somebody deletes it.
var runs = []string{
	"Run", "Job", "Task", "Workflow", "Request", "Backup", "Restore", "Operation", "Report", "Order", "Challenge", "Execution", "Action", "Scan", "Snapshot",
	"Migration", "Attempt", "Event", "JobSet", "SparkApplication", "Trial", "Experiment", "InstallPlan",
}

// gatewayGroup is the group of the Gateway API, whose kinds have rules of their own.
const gatewayGroup = "gateway.networking.k8s.io"

// isRun tells whether objects of a kind are runs of something.
func isRun(k snapshot.Kind) bool {
	return slices.ContainsFunc(runs, func(end string) bool { return strings.HasSuffix(k.Kind, end) })
}

// judged tells whether a custom resource is meant to be well now: not one that is being deleted or was
// suspended, and not a run.
func judged(r *snapshot.CustomResource) bool {
	return r.DeletionTimestamp == nil && !r.Suspended && !isRun(r.Kind) && r.Kind.Group != gatewayGroup
}

// complaintOf reads what an object's status says is wrong with it; false where nothing is, or where it
// says that nothing is meant to go on.
func complaintOf(r *snapshot.CustomResource) (complaint, bool) {
	if slices.Contains(leftAlone, r.Phase) {
		return complaint{}, false
	}
	var worst *metav1.Condition
	underWay := false
	for i := range r.Conditions {
		c := &r.Conditions[i]
		if slices.Contains(leftAlone, c.Reason) || (slices.Contains(leftAlone, c.Type) && c.Status == metav1.ConditionTrue) {
			return complaint{}, false
		}
		underWay = underWay || (slices.Contains(atWork, c.Type) && c.Status == metav1.ConditionTrue)
		bad := c.Status == metav1.ConditionTrue && slices.Contains(badWhenTrue, c.Type) ||
			c.Status == metav1.ConditionFalse && slices.Contains(badWhenFalse, c.Type) && !slices.Contains(meant, c.Reason)
		if bad && (worst == nil || conditionRank(c.Type) < conditionRank(worst.Type)) {
			worst = c
		}
	}
	if worst != nil {
		return complaint{
			resource: r, word: worst.Type + "=" + string(worst.Status) + reasonSuffix(worst.Reason), message: worst.Message,
			path: ".status.conditions[" + worst.Type + "]", value: string(worst.Status) + reasonSuffix(worst.Reason),
			since: worst.LastTransitionTime.Time, underWay: underWay && worst.Type != "Stalled",
		}, true
	}
	if slices.Contains(badPhases, r.Phase) && !slices.ContainsFunc(r.Conditions, isGood) {
		_, since := statusWritten(r)
		return complaint{resource: r, word: r.Phase, path: r.PhasePath, value: r.Phase, since: since}, true
	}
	return complaint{}, false
}

// isGood tells whether a condition says that its object is well, whatever an old phase says.
func isGood(c metav1.Condition) bool {
	return c.Status == metav1.ConditionTrue && slices.Contains(badWhenFalse, c.Type)
}

// conditionRank puts the condition first that says most about the cause: what is false may only be so
// because something has failed.
func conditionRank(conditionType string) int {
	return slices.Index(slices.Concat(badWhenTrue, badWhenFalse), conditionType)
}

func reasonSuffix(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + clip(reason, 80) + ")"
}

// statusWritten is who wrote an object's status last, and when; the zero time where nothing says.
func statusWritten(o metav1.Object) (manager string, at time.Time) {
	for _, f := range o.GetManagedFields() {
		if f.Subresource == "status" && f.Time != nil && f.Time.After(at) {
			manager, at = f.Manager, f.Time.Time
		}
	}
	return manager, at
}

// ofAnother tells whether a custom resource is a part of another that is judged by itself: what is wrong
// with a part shows in the whole, if it matters.
func ofAnother(r *snapshot.CustomResource, judgedByThemselves map[finding.Subject]bool) bool {
	ref := metav1.GetControllerOfNoCopy(r)
	return ref != nil && (judgedByThemselves[finding.Subject{Kind: ref.Kind, Namespace: r.Namespace, Name: ref.Name}] ||
		judgedByThemselves[finding.Subject{Kind: ref.Kind, Name: ref.Name}])
}

// definitionOf names the CustomResourceDefinition of a kind.
func definitionOf(k snapshot.Kind) finding.Subject {
	return finding.Subject{Kind: "CustomResourceDefinition", Name: k.GroupResource()}
}

// resourceCommand shows custom resources of a kind: one, or all of them.
func resourceCommand(r *snapshot.CustomResource, all bool) string {
	switch {
	case all && r.Namespace != "":
		return "kubectl get " + r.Kind.GroupResource() + " -A"
	case all:
		return "kubectl get " + r.Kind.GroupResource()
	case r.Namespace != "":
		return "kubectl -n " + r.Namespace + " describe " + r.Kind.GroupResource() + " " + r.Name
	default:
		return "kubectl describe " + r.Kind.GroupResource() + " " + r.Name
	}
}

// controllersByName returns the Deployments and StatefulSets whose name is theirs alone. Controllers
// mostly write under the name that they are deployed by.
func controllersByName(p *rule.Pass) map[string]finding.Subject {
	out := map[string]finding.Subject{}
	add := func(o snapshot.Object) {
		if _, twice := out[o.GetName()]; twice {
			out[o.GetName()] = finding.Subject{}
			return
		}
		out[o.GetName()] = snapshot.SubjectOf(o)
	}
	for _, d := range snapshot.List[*appsv1.Deployment](p.Snapshot) {
		add(d)
	}
	for _, s := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
		add(s)
	}
	return out
}

// controllerOfKind finds the workload that writes under a name: one of the same name, or one whose name
// that name begins with, as cert-manager writes under cert-manager-certificates-issuing.
func controllerOfKind(controllers map[string]finding.Subject, manager string) (finding.Subject, bool) {
	for name := manager; name != ""; {
		if s := controllers[name]; s.Name != "" {
			return s, true
		}
		i := strings.LastIndex(name, "-")
		name = name[:max(i, 0)]
	}
	return finding.Subject{}, false
}

// tellUnread reports as a gap the kinds of custom resources that could not be read.
func tellUnread(p *rule.Pass) {
	var names []string
	for _, k := range p.CustomKinds() {
		if c := p.CustomCoverage(k); !c.Known() {
			names = append(names, k.GroupResource())
		}
	}
	if len(names) > 0 {
		p.Skip(finding.Format("custom resources that could not be read whole: %s", "모두 읽지 못한 custom resource: %s", finding.List(names)))
	}
}

// controllerWord is a word by which the pods of a kind's controller may be found: what it calls itself, or
// the first part of its group.
func controllerWord(r *snapshot.CustomResource, manager string) string {
	if manager != "" && !strings.ContainsAny(manager, " '\"$`;|&<>()") {
		return manager
	}
	word, _, _ := strings.Cut(r.Kind.Group, ".")
	return word
}
