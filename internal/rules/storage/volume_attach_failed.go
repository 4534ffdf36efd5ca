package storage

import (
	"fmt"
	"maps"
	"regexp"
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
	Code:  "VolumeAttachFailed",
	Title: finding.Text{EN: "volume cannot be attached", KO: "volume을 노드에 연결하지 못합니다"},
	Doc: finding.Text{
		EN: "A volume cannot be attached to the node of the pod that mounts it: it is still attached to another node, whose pod lives, ends slowly or is lost with " +
			"its node; the storage refuses it; or the driver's attacher does not answer. Who holds the volume is told from the VolumeAttachments and the pods. " +
			"Left alone: volumes that are being attached within two minutes, errors of attachments that have succeeded since, and pods that have started.",
		KO: "Pod가 사용할 volume을 노드에 연결하지 못합니다. 다른 노드에 아직 연결되어 있거나(그 Pod가 실행 중, 느리게 종료 중, 또는 노드와 함께 응답 없음), storage가 거부하거나, driver의 attacher가 응답하지 않는 경우입니다. " +
			"누가 volume을 잡고 있는지 VolumeAttachment와 Pod로 알립니다. 2분 안에 연결 중인 volume, 이후 성공한 연결의 지난 오류, 이미 시작한 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes",
	Severity: finding.Warning,
	Needs: slices.Concat(owners(rule.Optional[*storagev1.VolumeAttachment](), rule.Optional[*corev1.PersistentVolume](), rule.Optional[*corev1.PersistentVolumeClaim](),
		rule.Optional[*corev1.Node](), rule.Optional[*corev1.Event]()), workerNeeds()),
	For: attachPatience,
	Causes: []rule.Cause{
		{Code: "VolumeAttachmentOrphaned", Via: rule.Claimed},
		{Code: "VolumeOnLostNode", Via: rule.Claimed},
		{Code: "CSIDriverNotOnNode", Via: rule.Claimed},
		{Code: "ControllerManagerDown", Via: rule.Cluster},
	},
	Detect: volumeAttachFailed,
})

// attachPatience is how long storage may take to attach a volume: clouds take up to a minute or two.
const attachPatience = 2 * time.Minute

// multiAttach is how the attach controller says that a volume is in use elsewhere
// (k8s.io/kubernetes/pkg/controller/volume/attachdetach/reconciler/reconciler.go, reportMultiAttachError;
// pkg/volume/util/operationexecutor, GenerateMsg).
var multiAttach = regexp.MustCompile(`Multi-Attach error for volume "([^"]+)"`)

// unattached is a volume that a pod waits for.
type unattached struct {
	volume string
	node   string
	pods   []*corev1.Pod
	since  time.Time
	event  *corev1.Event               // of a pod, where there is one
	intent *storagev1.VolumeAttachment // nil where the controller has not begun to attach
}

// attachments are the VolumeAttachments by volume.
type attachments map[string][]*storagev1.VolumeAttachment

func attachmentsOf(s *snapshot.Snapshot) attachments {
	out := attachments{}
	for _, a := range snapshot.List[*storagev1.VolumeAttachment](s) {
		if name := a.Spec.Source.PersistentVolumeName; name != nil {
			out[*name] = append(out[*name], a)
		}
	}
	return out
}

func volumeAttachFailed(p *rule.Pass) {
	found := map[string]*unattached{}
	all := attachmentsOf(p.Snapshot)
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName == "" || pod.DeletionTimestamp != nil {
			continue
		}
		for name := range claimNames(pod) {
			c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, pod.Namespace, name)
			if !ok || c.Spec.VolumeName == "" {
				continue
			}
			u := found[c.Spec.VolumeName]
			if u == nil {
				u = &unattached{volume: c.Spec.VolumeName, node: pod.Spec.NodeName, since: boundAt(pod)}
			}
			if u.look(p, all, pod) {
				u.pods = append(u.pods, pod)
				found[u.volume] = u
			}
		}
	}
	for _, volume := range slices.Sorted(maps.Keys(found)) {
		p.Report(attachFailed(p, all, *found[volume]))
	}
}

// look tells whether a pod waits for the volume to be attached to its node, and notes what tells.
func (u *unattached) look(p *rule.Pass, all attachments, pod *corev1.Pod) bool {
	for _, a := range all[u.volume] {
		if a.Spec.NodeName != pod.Spec.NodeName {
			continue
		}
		if a.Status.Attached {
			return false
		}
		if a.DeletionTimestamp == nil {
			u.intent = a
			u.since = finding.Earlier(u.since, a.CreationTimestamp.Time)
		}
	}
	for _, e := range p.PodEvents(pod) {
		m := multiAttach.FindStringSubmatch(e.Message)
		if e.Reason == "FailedAttachVolume" && p.Now().Sub(snapshot.EventTime(e)) <= eventWindow &&
			(m != nil && m[1] == u.volume || m == nil && strings.Contains(e.Message, u.volume)) {
			u.event = e
			break
		}
	}
	return u.event != nil || u.intent != nil
}

func attachFailed(p *rule.Pass, all attachments, u unattached) finding.Finding {
	subject := finding.Subject{Kind: "PersistentVolume", Name: u.volume}
	claims := claimsOn(p, u)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismFailing, Since: u.since, Explains: harmed(p.Snapshot, claims, u.pods),
	}
	if u.event != nil {
		f.Evidence = append(f.Evidence, eventEvidence(u.event))
	}
	f.Title = finding.Format("PersistentVolume %s (%s) cannot be attached to node %s", "PersistentVolume %s(%s): 노드 %s에 연결하지 못합니다",
		finding.Verbatim(u.volume), claimList(claims), finding.Verbatim(u.node))
	var why finding.Text
	switch {
	case u.event != nil && multiAttach.MatchString(u.event.Message):
		why = u.heldElsewhere(p, all, &f)
	case u.intent != nil && u.intent.Status.AttachError != nil:
		words := u.intent.Status.AttachError.Message
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(u.intent)), Path: ".status.attachError.message", Value: finding.Quote(words), At: finding.Timestamp(u.intent.Status.AttachError.Time.Time),
		})
		why = finding.Format("driver %s says %s", "driver %s의 응답: %s", finding.Verbatim(u.intent.Spec.Attacher), quoted(words))
	case u.event != nil:
		why = quoted(u.event.Message)
	default:
		why = u.attacherSilent(p, &f)
	}
	f.Why = finding.Join("; ", why, finding.Format("%s waits for it", "%s가 기다립니다", workloadNames(p.Snapshot, u.pods)))
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Text{EN: "see what is attached where", KO: "volume이 어디에 연결되어 있는지 확인합니다"},
		Command: "kubectl get volumeattachments.storage.k8s.io | grep " + u.volume,
	})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "give a workload with a ReadWriteOnce volume one replica and strategy Recreate, or a StatefulSet with a volume for each pod",
		KO: "ReadWriteOnce volume을 쓰는 workload는 replica 하나와 Recreate 전략을 쓰거나, Pod마다 volume을 갖는 StatefulSet으로 만듭니다",
	}}}
	return f
}

// claimsOn are the claims of the waiting pods that stand for the volume.
func claimsOn(p *rule.Pass, u unattached) []*corev1.PersistentVolumeClaim {
	var out []*corev1.PersistentVolumeClaim
	for _, pod := range u.pods {
		for name := range claimNames(pod) {
			if c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, pod.Namespace, name); ok && c.Spec.VolumeName == u.volume && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// heldElsewhere says who holds the volume and whether it will let go.
func (u unattached) heldElsewhere(p *rule.Pass, all attachments, f *finding.Finding) finding.Text {
	f.Mechanism = v1alpha1.MechanismRefused
	var says finding.Text
	for _, a := range all[u.volume] {
		node := a.Spec.NodeName
		if node == u.node || !a.Status.Attached {
			continue
		}
		f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(snapshot.SubjectOf(a)), Path: ".spec.nodeName", Value: node + ", attached"})
		says = finding.Join("; ", says, finding.Textf("it is attached to node %s and may be attached to one only", "노드 %s에 연결되어 있으며 한 노드에만 연결할 수 있습니다", node))
		if l, ok := lost(p, node); ok {
			f.WaitsFor = append(f.WaitsFor, finding.Subject{Kind: "Node", Name: node})
			says = finding.Join("; ", says, l.says)
			f.Remedies.Now = append(f.Remedies.Now, letGo(a, node, l))
			continue
		}
		holders := slices.DeleteFunc(slices.Clone(p.PodsOn(node)), func(pod *corev1.Pod) bool { return snapshot.PodDone(pod) || !u.mounts(p, pod) })
		for _, pod := range holders {
			says = finding.Join("; ", says, finding.Textf("pod %s mounts it there (%s)", "그 노드에서 Pod %s가 사용 중입니다(%s)", finding.Qualified(snapshot.SubjectOf(pod)), podState(pod)))
			f.WaitsFor = append(f.WaitsFor, snapshot.SubjectOf(pod))
			if pod.DeletionTimestamp == nil {
				f.Mechanism = v1alpha1.MechanismMisconfigured
				f.Remedies.Now = append(f.Remedies.Now, oneAtATime(p.Workload(pod)))
			}
		}
		if len(holders) == 0 {
			says = finding.Join("; ", says, finding.Text{EN: "no pod mounts it there any more: it is to be detached, by force after six minutes", KO: "그 노드에서 사용하는 Pod가 없어 곧 분리되며, 6분이 지나면 강제로 분리됩니다"})
		}
	}
	if says.IsZero() {
		return quoted(u.event.Message)
	}
	return says
}

// mounts tells whether a pod mounts the volume.
func (u unattached) mounts(p *rule.Pass, pod *corev1.Pod) bool {
	for name := range claimNames(pod) {
		if c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, pod.Namespace, name); ok && c.Spec.VolumeName == u.volume {
			return true
		}
	}
	return false
}

func letGo(a *storagev1.VolumeAttachment, node string, l lostNode) finding.Remedy {
	if l.gone {
		return finding.Remedy{
			Text:    finding.Textf("only when the machine of %s is known to be off: take the attachment away", "노드 %s의 머신이 꺼진 것이 확실한 경우에만 연결 기록을 지웁니다", node),
			Command: "kubectl delete volumeattachments.storage.k8s.io " + a.Name,
		}
	}
	return finding.Remedy{
		Text:    finding.Textf("bring node %s back, or, only when its machine is known to be off, have its volumes detached", "노드 %s를 복구하거나, 머신이 꺼진 것이 확실한 경우에만 volume을 분리하게 합니다", node),
		Command: "kubectl taint nodes " + node + " node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
	}
}

// oneAtATime is what a workload needs whose old pod must end before its new one can start.
func oneAtATime(w finding.Subject) finding.Remedy {
	if w.Kind == "Deployment" {
		return finding.Remedy{
			Text:    finding.Textf("end the old pod before a new one starts, for both want one volume: strategy Recreate for %s", "두 Pod가 같은 volume을 쓰므로 이전 Pod를 먼저 종료하도록 %s에 Recreate 전략을 지정합니다", finding.Named(w)),
			Command: fmt.Sprintf(`kubectl -n %s patch deployment %s -p '{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}'`, w.Namespace, w.Name),
		}
	}
	return finding.Remedy{
		Text:    finding.Textf("let one workload at a time use the volume, now %s", "한 번에 한 workload만 volume을 쓰게 합니다. 지금은 %s가 사용 중입니다", finding.Named(w)),
		Command: fmt.Sprintf("kubectl -n %s get %s %s", w.Namespace, strings.ToLower(w.Kind), w.Name),
	}
}

// attacherSilent says what is known of the attacher, which was asked and said nothing.
func (u unattached) attacherSilent(p *rule.Pass, f *finding.Finding) finding.Text {
	f.Mechanism = v1alpha1.MechanismHung
	f.Evidence = append(f.Evidence, finding.Evidence{
		Source: finding.Named(snapshot.SubjectOf(u.intent)), Path: ".status.attached", Value: "false", At: finding.Timestamp(u.intent.CreationTimestamp.Time),
	})
	says := finding.Textf("attacher %s was asked at %s and has not answered", "attacher %s가 %s의 요청에 응답하지 않았습니다", u.intent.Spec.Attacher, finding.Clock(p.Now(), u.intent.CreationTimestamp.Time))
	w, ok := findWorker(p, attacherLocks(u.intent.Spec.Attacher))
	if !ok {
		f.Confidence = v1alpha1.ConfidenceMedium
		return says
	}
	f.Evidence = append(f.Evidence, w.evidence...)
	if w.dead {
		f.Mechanism, f.WaitsFor, f.Remedies.Now = w.mechanism, w.waitsFor, w.remedies
		f.Since = finding.Later(f.Since, w.since)
	}
	return finding.Join("; ", says, w.says)
}
