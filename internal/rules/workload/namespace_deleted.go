package workload

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "NamespaceDeleted",
	Title: finding.Text{EN: "namespace that others need is deleted", KO: "사용 중인 namespace가 삭제되었습니다"},
	Doc: finding.Text{
		EN: "A namespace is gone, or goes, with all that is in it, and something outside still needs it: an aggregated API, a webhook or the conversion of a kind is served " +
			"from it. Where nothing does it is only noted: volumes that it used were left behind within the last day, or pods are still in it. Who deleted it is " +
			"told by nothing but the API server's audit log. A namespace that is gone and to which nothing refers leaves no trace in the API: that it " +
			"is missing cannot be seen. Left alone: volumes that were released longer ago.",
		KO: "namespace가 내용물과 함께 삭제되었거나 삭제되는 중인데 외부에서 여전히 필요로 합니다. aggregated API, webhook, 변환 webhook이 그 안에서 제공되는 경우입니다. " +
			"외부 참조가 없으면 info로만 알립니다(하루 안에 볼륨이 남겨졌거나, Pod가 있는 상태로 삭제되는 중). 삭제한 주체는 API server의 audit log에만 남습니다. 참조가 전혀 없이 사라진 namespace는 API에 흔적이 없어 알 수 없습니다. " +
			"오래전에 release된 볼륨은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
	Severity: finding.Warning,
	Needs: append([]rule.Need{
		rule.Whole[*corev1.Namespace](), rule.Optional[*corev1.Pod](), rule.Optional[*corev1.PersistentVolume](),
	}, extensionNeeds()...),
	Detect: namespaceDeleted,
})

// releasedLately is how long ago a volume may have been left behind to tell of a deletion that matters now.
const releasedLately = 24 * time.Hour

// trace is what outside of a namespace tells of it.
type trace struct {
	// needs are the objects that want something served from the namespace.
	needs []finding.Subject
	// volumes were bound to claims in it, since when the first of them was left behind.
	volumes  []finding.Subject
	released time.Time
	evidence []finding.Evidence
}

func namespaceDeleted(p *rule.Pass) {
	traces := tracesOfNamespaces(p)
	for _, name := range slices.Sorted(maps.Keys(traces)) {
		t := traces[name]
		if _, exists := snapshot.Get[*corev1.Namespace](p.Snapshot, "", name); !exists && len(t.needs)+len(t.volumes) > 0 {
			p.Report(t.gone(p, name))
		}
	}
	pods := map[string]int{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		pods[pod.Namespace]++
	}
	for _, ns := range snapshot.List[*corev1.Namespace](p.Snapshot) {
		t := traces[ns.Name]
		if ns.DeletionTimestamp != nil && (t != nil && len(t.needs) > 0 || pods[ns.Name] > 0) {
			p.Report(goes(p, ns, t, pods[ns.Name]))
		}
	}
}

// tracesOfNamespaces collects what refers to namespaces from outside of them.
func tracesOfNamespaces(p *rule.Pass) map[string]*trace {
	out := map[string]*trace{}
	of := func(namespace string) *trace {
		if out[namespace] == nil {
			out[namespace] = &trace{}
		}
		return out[namespace]
	}
	for _, e := range extensions(p) {
		subject, t := snapshot.SubjectOf(e.by), of(e.namespace)
		if e.mustAnswer && !slices.Contains(t.needs, subject) {
			t.needs = append(t.needs, subject)
			t.evidence = append(t.evidence, finding.Evidence{Source: finding.Named(subject), Path: e.path, Value: e.namespace})
		}
	}
	for _, v := range snapshot.List[*corev1.PersistentVolume](p.Snapshot) {
		at := v.Status.LastPhaseTransitionTime
		if v.Status.Phase != corev1.VolumeReleased || v.Spec.ClaimRef == nil || at == nil || p.Now().Sub(at.Time) > releasedLately {
			continue
		}
		t := of(v.Spec.ClaimRef.Namespace)
		t.volumes = append(t.volumes, snapshot.SubjectOf(v))
		t.released = finding.Earlier(t.released, at.Time)
		t.evidence = append(t.evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(v)), Path: ".spec.claimRef", Value: v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name, At: finding.Timestamp(at.Time),
		})
	}
	return out
}

// evidenceTold bounds the evidence of one deletion: a namespace may have had thousands of volumes.
const evidenceTold = 8

func (t *trace) texts() []finding.Text {
	var out []finding.Text
	if len(t.needs) > 0 {
		out = append(out, finding.Format("these are served from it: %s", "이 namespace에서 제공되던 것: %s", namesOf(t.needs)))
	}
	if len(t.volumes) > 0 {
		out = append(out, finding.Format("these volumes were used in it and are left behind: %s", "사용되다가 남겨진 볼륨: %s", namesOf(t.volumes)))
	}
	return out
}

func namesOf(subjects []finding.Subject) finding.Text {
	names := make([]string, 0, len(subjects))
	for _, s := range subjects {
		names = append(names, finding.Named(s))
	}
	return finding.List(names)
}

// whoDeleted says where the one who deleted is to be found.
func whoDeleted() finding.Text {
	return finding.Text{EN: "who deleted it only the API server's audit log tells", KO: "삭제한 주체는 API server의 audit log에서만 알 수 있습니다"}
}

func (t *trace) gone(p *rule.Pass, name string) finding.Finding {
	subject := finding.Subject{Kind: "Namespace", Name: name}
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMissing, Since: t.released,
		Title:    finding.Textf("%s: does not exist, and is needed", "%s: 존재하지 않지만 사용되고 있습니다", finding.Named(subject)),
		Evidence: t.evidence[:min(len(t.evidence), evidenceTold)], Explains: t.needs,
	}
	texts := t.texts()
	if len(t.needs) == 0 {
		f.Severity = finding.Info // It may be meant: volumes are kept just for that.
	}
	if len(t.volumes) > 0 {
		f.Title = finding.Textf("%s: deleted, with all that was in it", "%s: 내용물과 함께 삭제되었습니다", finding.Named(subject))
		texts = append([]finding.Text{finding.Textf("its volumes were released at %s", "볼륨이 %s에 release되었습니다", finding.Clock(p.Now(), t.released))}, texts...)
		texts = append(texts, whoDeleted())
	} else {
		f.Confidence = mediumConfidence
		texts = append(texts, finding.Text{EN: "whether it was deleted or never made nothing tells", KO: "삭제된 것인지 만들어진 적이 없는지는 알 수 없습니다"})
	}
	f.Why = finding.Join("; ", texts...)
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "make it again and apply what belongs into it from where it is kept, or restore its backup", KO: "namespace를 다시 만들고 보관 중인 manifest나 backup에서 내용을 복원합니다"},
			Command: "kubectl create namespace " + name,
		},
	}
	if len(t.volumes) > 0 {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text: finding.Text{
				EN: "keep the volumes: they still hold the data, and can be bound to new claims once their claimRef is cleared",
				KO: "볼륨을 보존합니다. 데이터가 남아 있으며 claimRef를 지우면 새 PVC에 바인딩할 수 있습니다",
			},
			Command: fmt.Sprintf("kubectl get persistentvolumes -o wide | grep '%s/'", name),
		})
	}
	f.Remedies.Later = deletionGuards()
	return f
}

func goes(p *rule.Pass, ns *corev1.Namespace, t *trace, pods int) finding.Finding {
	subject, at := snapshot.SubjectOf(ns), ns.DeletionTimestamp.Time
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismStopped, Since: at, Severity: finding.Info,
		Title: finding.Textf("%s: is being deleted, with all that is in it", "%s: 내용물과 함께 삭제되고 있습니다", finding.Named(subject)),
		Evidence: []finding.Evidence{{
			Source: finding.Named(subject), Path: ".metadata.deletionTimestamp", Value: at.UTC().Format(time.RFC3339), At: finding.Timestamp(at),
		}},
	}
	texts := []finding.Text{finding.Textf("deleted at %s", "%s에 삭제되었습니다", finding.Clock(p.Now(), at))}
	if pods > 0 {
		texts = append(texts, finding.Format("left in it: %s", "남아 있는 Pod: %s", finding.Pods(pods)))
	}
	if t != nil && len(t.needs) > 0 {
		f.Severity = finding.Warning
		f.Explains = t.needs
		f.Evidence = append(f.Evidence, t.evidence[:min(len(t.evidence), evidenceTold)]...)
		texts = append(texts, t.texts()...)
	}
	f.Why = finding.Join("; ", append(texts, whoDeleted())...)
	f.Remedies.Now = []finding.Remedy{
		{Text: finding.Text{
			EN: "a deletion cannot be taken back: when it is over, make the namespace again and apply what belongs into it, or restore its backup",
			KO: "삭제는 취소할 수 없습니다. 끝난 뒤 namespace를 다시 만들고 manifest나 backup에서 내용을 복원합니다",
		}, Command: "kubectl get namespace " + ns.Name},
		{
			Text:    finding.Text{EN: "keep the data: let the volumes of its claims outlive them", KO: "데이터를 보존하려면 볼륨의 reclaim policy를 Retain으로 바꿉니다"},
			Command: fmt.Sprintf("kubectl get persistentvolumes -o wide | grep '%s/'", ns.Name),
		},
	}
	f.Remedies.Later = deletionGuards()
	return f
}

func deletionGuards() []finding.Remedy {
	return []finding.Remedy{{Text: finding.Text{
		EN: "give fewer people the right to delete namespaces, guard important ones with a ValidatingAdmissionPolicy, and back them up",
		KO: "namespace 삭제 권한을 줄이고, 중요한 namespace는 ValidatingAdmissionPolicy로 보호하며, backup을 유지하십시오",
	}}}
}
