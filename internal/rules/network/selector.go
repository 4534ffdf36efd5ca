package network

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// leftoverAfter is how long nothing about a Service that nothing resembles must have changed for it
// to count as forgotten: whoever makes a Service before its workload has come back to it by then.
const leftoverAfter = 24 * time.Hour

// selectsNobody is the finding about a Service whose selector no workload's pods carry. It is
// critical where a workload is near that the Service most likely means; else the Service may be a
// leftover that nobody calls.
func selectsNobody(p *rule.Pass, b backends, made []template) finding.Finding {
	f := endpointless(p, b)
	selector := b.svc.Spec.Selector
	f.Mechanism, f.Field = v1alpha1.MechanismMisconfigured, ".spec.selector"
	f.Title = finding.Textf("%s: no endpoints, its selector %s matches no pod", "%s: endpoint가 없습니다. selector(%s)와 일치하는 Pod가 없습니다", finding.Named(f.Subject), written(selector))
	f.Evidence = append(f.Evidence, finding.Evidence{
		Source: finding.Named(f.Subject), Path: ".spec.selector", Value: written(selector), At: finding.Timestamp(snapshot.SpecWritten(b.svc)),
	})
	changed := finding.Text{}
	if by, at := snapshot.LastManager(b.svc); !at.IsZero() {
		changed = finding.Textf("the Service was last changed at %s by %q", "Service는 %s에 마지막으로 변경되었습니다(%q)", finding.Clock(p.Now(), at), by)
	}
	if keys := setAtRunTime(p, b, made); len(keys) > 0 {
		labelledAtRunTime(&f, b, keys, changed)
		return f
	}
	near, ok := nearest(made, b.svc.Name, selector)
	if !ok {
		resemblesNothing(p, &f, b, changed)
		return f
	}
	keys := differing(selector, near.labels)
	has := tellLabels(near.labels, keys)
	f.Why = finding.Join("; ", finding.Text{
		EN: fmt.Sprintf("the Service asks for %s, and %s has %s", written(selector), finding.Named(near.workload), has.EN),
		KO: fmt.Sprintf("Service가 찾는 레이블은 %s이나 %s의 레이블은 %s입니다", written(selector), finding.Named(near.workload), has.KO),
	}, changed)
	f.Evidence = append(f.Evidence, finding.Evidence{
		Source: finding.Named(near.workload), Path: ".spec.template.metadata.labels", Value: written(near.labels),
	})
	f.Remedies.Now = selectorRemedies(b.svc, near, keys)
	return f
}

// setAtRunTime returns the keys of a Service's selector that no workload gives its pods, where there
// are pods that carry all the others: whoever elects a leader among them may set the rest while they
// run, as Patroni and Vault do, and nobody being elected can be in order.
func setAtRunTime(p *rule.Pass, b backends, made []template) []string {
	rest := maps.Clone(b.svc.Spec.Selector)
	for _, t := range made {
		for k := range t.labels {
			delete(rest, k)
		}
	}
	keys := slices.Sorted(maps.Keys(rest))
	others := maps.Clone(b.svc.Spec.Selector)
	for _, k := range keys {
		delete(others, k)
	}
	for _, pod := range p.PodsSelected(b.svc.Namespace, others) {
		if !snapshot.PodDone(pod) && pod.DeletionTimestamp == nil {
			return keys
		}
	}
	return differsByOperator(p, b.svc)
}

// differsByOperator returns the keys in which pods that carry another label of a Service's selector differ from
// it, where it is a custom controller that makes those pods: there is no template to compare with, and such
// controllers label by role (CloudNativePG's Service for replicas has none in a cluster of one).
func differsByOperator(p *rule.Pass, svc *corev1.Service) []string {
	for _, k := range slices.Sorted(maps.Keys(svc.Spec.Selector)) {
		for _, pod := range p.PodsSelected(svc.Namespace, map[string]string{k: svc.Spec.Selector[k]}) {
			owner := metav1.GetControllerOfNoCopy(pod)
			if owner == nil || slices.Contains(templateOwners, owner.Kind) || snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
				continue
			}
			return differing(svc.Spec.Selector, pod.Labels)
		}
	}
	return nil
}

// templateOwners are the controllers of pods whose templates are read.
var templateOwners = []string{"ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController", "Node"}

func labelledAtRunTime(f *finding.Finding, b backends, keys []string, changed finding.Text) {
	f.Severity, f.Confidence = finding.Info, v1alpha1.ConfidenceLow
	f.Why = finding.Join("; ", finding.Textf(
		"pods carry the other labels of its selector, and no workload gives its pods the label %s: either something sets it while they run, as on an elected leader or its replicas, and none has it just now, or it is mistyped",
		"selector의 나머지 레이블을 가진 Pod는 있으나, 레이블(%s)을 지정한 워크로드는 없습니다. 리더 선출처럼 실행 중에 붙는 레이블이라면 지금 해당하는 Pod가 없는 것이고, 아니라면 레이블 이름이 잘못된 것입니다",
		strings.Join(keys, ", ")), changed)
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Textf("see which pods carry %s", "레이블(%s)을 가진 Pod를 확인합니다", strings.Join(keys, ", ")),
		Command: fmt.Sprintf("kubectl -n %s get pods -L %s", b.svc.Namespace, strings.Join(keys, ",")),
	}}
}

func resemblesNothing(p *rule.Pass, f *finding.Finding, b backends, changed finding.Text) {
	f.Severity, f.Confidence = finding.Warning, v1alpha1.ConfidenceMedium
	last := finding.Later(b.written, finding.Later(b.svc.CreationTimestamp.Time, snapshot.SpecWritten(b.svc)))
	if p.Now().Sub(last) >= leftoverAfter {
		f.Severity = finding.Info
	}
	f.Why = finding.Join("; ", finding.Textf("no pod and no workload in namespace %s carries these labels, nor any like them",
		"namespace %s에는 이 레이블이나 비슷한 레이블을 가진 Pod와 워크로드가 없습니다", b.svc.Namespace), changed)
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "see which labels pods carry there", KO: "namespace 안 Pod의 레이블을 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s get pods --show-labels", b.svc.Namespace),
		},
		{Text: finding.Text{EN: "correct the selector, or delete the Service if nobody calls it", KO: "selector를 바로잡거나, 사용하지 않는 Service라면 삭제합니다"}},
	}
}

// selectorRemedies sets the labels in which a selector differs right, where all of them have a value
// to be set to. A label is never taken out of a selector: the Service could then send its traffic to
// pods that are not meant.
func selectorRemedies(svc *corev1.Service, near template, keys []string) []finding.Remedy {
	all := []finding.Remedy{{
		Text:    finding.Textf("see the labels of the pods of %s", "%s의 Pod 레이블을 확인합니다", finding.Named(near.workload)),
		Command: fmt.Sprintf("kubectl -n %s get pods --show-labels", svc.Namespace),
	}}
	for _, k := range keys {
		if _, ok := near.labels[k]; !ok {
			return append(all, finding.Remedy{
				Text:    finding.Text{EN: "correct the selector", KO: "selector를 바로잡습니다"},
				Command: fmt.Sprintf("kubectl -n %s edit service %s", svc.Namespace, svc.Name),
			})
		}
	}
	return append(all, finding.Remedy{
		Text:    finding.Textf("let the Service select the pods of %s", "Service의 selector를 %s의 Pod에 맞춥니다", finding.Named(near.workload)),
		Command: fmt.Sprintf("kubectl -n %s patch service %s --type=merge -p '%s'", svc.Namespace, svc.Name, selectorPatch(near.labels, keys)),
	})
}
