package storage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "VolumeNotProvisioned",
	Title: finding.Text{EN: "no volume is made for a claim", KO: "PersistentVolumeClaim의 volume이 만들어지지 않습니다"},
	Doc: finding.Text{
		EN: "Claims wait for a volume that their StorageClass should provide: its provisioner does not run, answers with an error, or makes none and no " +
			"PersistentVolume fits. The provisioner is looked for by the Lease with which it leads, and its pod and node are named. Left alone: claims of " +
			"a class with WaitForFirstConsumer that no pod mounts, or whose pod has no node yet for another reason, claims whose volume is just being made or, for an hour, filled from a data source, " +
			"and classes that do not exist (StorageClassMissing).",
		KO: "StorageClass가 제공해야 할 volume을 claim이 기다립니다. provisioner가 실행되지 않거나, 오류로 응답하거나, volume을 만들지 않는 클래스인데 맞는 PersistentVolume이 없는 경우입니다. " +
			"provisioner는 leader Lease로 찾아 Pod와 노드까지 알립니다. WaitForFirstConsumer 클래스에서 사용하는 Pod가 없거나 Pod가 다른 이유로 노드를 받지 못한 claim, " +
			"volume을 만드는 중이거나 data source에서 한 시간 이내로 데이터를 채우는 중인 claim, 클래스가 없는 경우(StorageClassMissing)는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/dynamic-provisioning/",
	Severity: finding.Warning,
	Needs: slices.Concat(owners(rule.Any[*corev1.PersistentVolumeClaim](), rule.Any[*storagev1.StorageClass](),
		rule.Optional[*corev1.PersistentVolume](), rule.Optional[*storagev1.CSIDriver](), rule.Optional[*corev1.Event]()), workerNeeds()),
	For:    2 * time.Minute,
	Causes: []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster}},
	Detect: volumeNotProvisioned,
})

// noProvisioner is the provisioner of classes whose volumes are made by hand
// (k8s.io/component-helpers/storage/volume, NotSupportedProvisioner).
const noProvisioner = "kubernetes.io/no-provisioner"

// unprovided is a claim that waits for a volume, and why as far as an event tells.
type unprovided struct {
	claim *corev1.PersistentVolumeClaim
	class *storagev1.StorageClass // nil where the claim wants none
	event *corev1.Event
	pods  []*corev1.Pod
}

func volumeNotProvisioned(p *rule.Pass) {
	found := map[finding.Subject][]unprovided{}
	var all users
	for _, c := range snapshot.List[*corev1.PersistentVolumeClaim](p.Snapshot) {
		if !waiting(c) {
			continue
		}
		if all == nil {
			all = usersOfClaims(p.Snapshot)
		}
		if u, ok := waitsInVain(p, c, all.of(c)); ok {
			subject := snapshot.SubjectOf(c)
			if u.class != nil {
				subject = snapshot.SubjectOf(u.class)
			}
			found[subject] = append(found[subject], u)
		}
	}
	for _, subject := range slices.SortedFunc(maps.Keys(found), finding.CompareSubjects) {
		p.Report(notProvisioned(p, subject, found[subject]))
	}
}

// waitsInVain tells whether a claim has cause to wait no longer.
func waitsInVain(p *rule.Pass, c *corev1.PersistentVolumeClaim, pods []*corev1.Pod) (unprovided, bool) {
	u := unprovided{claim: c, pods: notReady(pods)}
	name, named := classOf(c)
	if !named {
		return u, false // The default class is filled in, or there is none: StorageClassMissing.
	}
	u.event = lastEvent(p.Snapshot, snapshot.SubjectOf(c), "ProvisioningFailed", "ExternalProvisioning", "FailedBinding", "VolumeMismatch")
	if name == "" {
		return u, true
	}
	if filled(c) && p.Now().Sub(c.CreationTimestamp.Time) < fillPatience && (u.event == nil || u.event.Reason != "ProvisioningFailed") {
		return u, false
	}
	class, ok := snapshot.Get[*storagev1.StorageClass](p.Snapshot, "", name)
	if !ok {
		return u, false
	}
	u.class = class
	if class.VolumeBindingMode == nil || *class.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer {
		return u, true
	}
	if class.Provisioner == noProvisioner {
		return u, slices.ContainsFunc(u.pods, noVolumeFits)
	}
	return u, len(u.pods) > 0 && u.event != nil
}

// fillPatience is how long the data that a claim asks for in its volume may take to be copied there: disk
// images and snapshots are large.
const fillPatience = time.Hour

// filled tells whether a claim's volume is made from other data: a snapshot, another claim, or what a
// populator brings. The claim is bound once that is there
// (https://kubernetes.io/docs/concepts/storage/persistent-volumes/#volume-populators-and-data-sources).
func filled(c *corev1.PersistentVolumeClaim) bool {
	return c.Spec.DataSource != nil || c.Spec.DataSourceRef != nil
}

// noVolumeFits tells whether the scheduler found no volume for a pod that is there already
// (k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding/binder.go, ErrReasonBindConflict).
func noVolumeFits(pod *corev1.Pod) bool {
	c := snapshot.PodCondition(pod, corev1.PodScheduled)
	return c != nil && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, "didn't find available persistent volumes to bind")
}

func notProvisioned(p *rule.Pass, subject finding.Subject, waits []unprovided) finding.Finding {
	var claims []*corev1.PersistentVolumeClaim
	var pods []*corev1.Pod
	var said *corev1.Event
	for _, u := range waits {
		claims = append(claims, u.claim)
		pods = append(pods, u.pods...)
		// The provisioner's own words go before those of the controller that waits for it.
		if u.event != nil && (said == nil || said.Reason != "ProvisioningFailed") {
			said = u.event
		}
	}
	f := finding.Finding{
		Subject: subject, Since: oldest(claims), Explains: without(harmed(p.Snapshot, claims, pods), subject), Mechanism: v1alpha1.MechanismFailing,
	}
	if said != nil {
		f.Evidence = append(f.Evidence, eventEvidence(said))
	}
	var why finding.Text
	class := waits[0].class
	switch {
	case class == nil:
		f.Mechanism = v1alpha1.MechanismMissing
		why = finding.Text{EN: "it asks for a volume without a class, which somebody has to make", KO: "클래스 없는 volume을 요청하며, 이는 사람이 직접 만들어야 합니다"}
		f.Remedies.Now = beforehand(p, &f, "", claims[0])
	case class.Provisioner == noProvisioner:
		f.Mechanism = v1alpha1.MechanismMissing
		why = finding.Textf("StorageClass %s makes no volumes: they are made by hand", "StorageClass %s는 volume을 만들지 않으므로 직접 만들어야 합니다", class.Name)
		f.Remedies.Now = beforehand(p, &f, class.Name, claims[0])
	default:
		why = blameProvisioner(p, &f, class, said)
	}
	waitsFor := finding.Format("%s has no volume", "%s에 volume이 없습니다", count(claims))
	if len(claims) > 1 {
		waitsFor = finding.Format("%s have no volume", "%s에 volume이 없습니다", count(claims))
	}
	if class == nil {
		f.Title = finding.Join(", ", count(claims), finding.Text{EN: "no PersistentVolume fits it", KO: "맞는 PersistentVolume이 없습니다"})
	} else {
		f.Title = finding.Join(", ", finding.Textf("StorageClass %s provides no volumes", "StorageClass %s: volume을 제공하지 못합니다", class.Name), waitsFor)
	}
	var words, effect finding.Text
	if said != nil && (said.Reason == "ProvisioningFailed" || said.Reason == "VolumeMismatch") {
		words = finding.Format("it says %s", "메시지: %s", quoted(said.Message))
	}
	if len(pods) > 0 {
		effect = finding.Format("%s waits for it", "%s가 기다립니다", workloadNames(p.Snapshot, pods))
	} else {
		f.Severity = finding.Info
		effect = finding.Text{EN: "no pod mounts it", KO: "사용하는 Pod가 없습니다"}
	}
	f.Why = finding.Join("; ", why, words, claimsTold(claims), effect)
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "see what the claim waits for", KO: "claim이 무엇을 기다리는지 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe persistentvolumeclaim %s", claims[0].Namespace, claims[0].Name),
	})
	if class == nil || class.Provisioner == noProvisioner {
		return f
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "run two replicas of the provisioner on different nodes, and check provisioning regularly with a claim of its own",
		KO: "provisioner를 서로 다른 노드에 두 개 이상 두고, 시험용 claim으로 volume 생성을 주기적으로 확인합니다",
	}}}
	return f
}

// claimsTold lists claims where there are several; one is in the title.
func claimsTold(claims []*corev1.PersistentVolumeClaim) finding.Text {
	if len(claims) == 1 {
		return finding.Text{}
	}
	return claimList(claims)
}

// beforehand compares a claim with the volumes that were made for its class, and says what to make.
func beforehand(p *rule.Pass, f *finding.Finding, class string, c *corev1.PersistentVolumeClaim) []finding.Remedy {
	if !p.Coverage(snapshot.KindOf[*corev1.PersistentVolume]()).Known() {
		return nil
	}
	free, total := 0, 0
	var largest string
	for _, v := range snapshot.List[*corev1.PersistentVolume](p.Snapshot) {
		if v.Spec.StorageClassName != class {
			continue
		}
		total++
		if v.Status.Phase == corev1.VolumeAvailable {
			free++
			size := v.Spec.Capacity[corev1.ResourceStorage]
			largest = fmt.Sprintf(", such as %s of %s", v.Name, size.String())
		}
	}
	want := c.Spec.Resources.Requests[corev1.ResourceStorage]
	f.Evidence = append(f.Evidence, finding.Evidence{
		Source: "PersistentVolumes of class \"" + class + "\"", Path: ".status.phase",
		Value: fmt.Sprintf("%d of %d free%s; the claim wants %s %v", free, total, largest, want.String(), c.Spec.AccessModes),
	})
	return []finding.Remedy{{
		Text: finding.Textf("make a PersistentVolume of class %q that fits: %s, access modes %v", "맞는 PersistentVolume을 만듭니다: 클래스 %q, 크기 %s, access mode %v",
			class, want.String(), c.Spec.AccessModes),
		Command: "kubectl get persistentvolumes",
	}}
}

// blameProvisioner says what is known of the provisioner of a class.
func blameProvisioner(p *rule.Pass, f *finding.Finding, class *storagev1.StorageClass, said *corev1.Event) finding.Text {
	driver := class.Provisioner
	name := finding.Textf("provisioner %s", "provisioner %s", driver)
	if w, ok := findWorker(p, provisionerLocks(driver)); ok {
		f.Evidence = append(f.Evidence, w.evidence...)
		if w.dead {
			f.Mechanism, f.WaitsFor, f.Remedies.Now = w.mechanism, w.waitsFor, w.remedies
			f.Since = finding.Later(f.Since, w.since)
			return finding.Join(": ", name, w.says)
		}
		f.RuledOut = append(f.RuledOut, finding.Statement{
			Text:     finding.Textf("the provisioner is dead: its Lease is renewed", "provisioner 중단: Lease가 갱신되고 있습니다"),
			Evidence: w.evidence,
		})
		return finding.Join(": ", name, w.says)
	}
	if strings.HasPrefix(driver, "kubernetes.io/") {
		return name
	}
	_, registered := snapshot.Get[*storagev1.CSIDriver](p.Snapshot, "", driver)
	plugins := pluginPods(p.Snapshot, driver)
	if said != nil && said.Reason == "ProvisioningFailed" || registered || len(plugins) > 0 {
		f.Confidence = v1alpha1.ConfidenceMedium
		return finding.Join(": ", name, finding.Text{EN: "no Lease tells whether it lives", KO: "동작 여부를 알려 주는 Lease가 없습니다"})
	}
	f.Mechanism, f.Confidence = v1alpha1.MechanismMissing, v1alpha1.ConfidenceMedium
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Textf("install the provisioner %s, or make a claim of another class", "provisioner %s를 설치하거나 다른 클래스로 claim을 만듭니다", driver),
		Command: "kubectl get csidrivers; kubectl get pods -A | grep -i -e csi -e provisioner",
	}}
	return finding.Join(": ", name, finding.Text{
		EN: "nothing in the cluster tells of it (no Lease, no CSIDriver, no pod of its node plugin), so it is not installed or does not run",
		KO: "클러스터에 흔적이 없습니다(Lease, CSIDriver, node plugin Pod 모두 없음). 설치되지 않았거나 실행되지 않는 상태입니다",
	})
}
