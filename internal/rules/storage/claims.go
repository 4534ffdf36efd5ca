package storage

import (
	"iter"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// classOf is the StorageClass that a claim names, and whether it names any: the empty name asks for a
// volume without a class, no name for the default class
// (k8s.io/component-helpers/storage/volume, GetPersistentVolumeClaimClass).
func classOf(c *corev1.PersistentVolumeClaim) (name string, named bool) {
	if class, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class, true
	}
	if c.Spec.StorageClassName == nil {
		return "", false
	}
	return *c.Spec.StorageClassName, true
}

// waiting tells whether a claim waits for a volume.
func waiting(c *corev1.PersistentVolumeClaim) bool {
	return c.DeletionTimestamp == nil && (c.Status.Phase == corev1.ClaimPending || c.Status.Phase == "")
}

// claimNames yields the names of the claims that a pod mounts, those that are made for it included
// (k8s.io/component-helpers/storage/ephemeral, VolumeClaimName).
func claimNames(pod *corev1.Pod) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, v := range pod.Spec.Volumes {
			name := ""
			switch {
			case v.PersistentVolumeClaim != nil:
				name = v.PersistentVolumeClaim.ClaimName
			case v.Ephemeral != nil:
				name = pod.Name + "-" + v.Name
			}
			if name != "" && !yield(name) {
				return
			}
		}
	}
}

// users are the pods by the claims that they mount.
type users map[types.NamespacedName][]*corev1.Pod

// usersOfClaims finds, for every claim, the pods that mount it and have not ended.
func usersOfClaims(s *snapshot.Snapshot) users {
	out := users{}
	for _, pod := range snapshot.List[*corev1.Pod](s) {
		if snapshot.PodDone(pod) {
			continue
		}
		for name := range claimNames(pod) {
			key := types.NamespacedName{Namespace: pod.Namespace, Name: name}
			out[key] = append(out[key], pod)
		}
	}
	return out
}

// of returns the pods that mount a claim.
func (u users) of(c *corev1.PersistentVolumeClaim) []*corev1.Pod {
	return u[types.NamespacedName{Namespace: c.Namespace, Name: c.Name}]
}

// notReady returns those of the pods that do not serve.
func notReady(pods []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range pods {
		if !snapshot.PodReady(pod) {
			out = append(out, pod)
		}
	}
	return out
}

// harmed names claims, pods and what the pods belong to, each once: all that a fault of the claims' keeps
// from working.
func harmed(s *snapshot.Snapshot, claims []*corev1.PersistentVolumeClaim, pods []*corev1.Pod) []finding.Subject {
	var out []finding.Subject
	for _, c := range claims {
		out = append(out, snapshot.SubjectOf(c))
	}
	for _, pod := range pods {
		out = append(out, snapshot.SubjectOf(pod), s.Workload(pod))
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}

// without leaves a finding's own subject out of what it explains.
func without(subjects []finding.Subject, self finding.Subject) []finding.Subject {
	subjects = slices.DeleteFunc(subjects, func(s finding.Subject) bool { return s == self })
	if len(subjects) == 0 {
		return nil
	}
	return subjects
}

// workloadNames names what pods belong to.
func workloadNames(s *snapshot.Snapshot, pods []*corev1.Pod) finding.Text {
	var names []string
	for _, pod := range pods {
		names = append(names, finding.Named(s.Workload(pod)))
	}
	return finding.List(names)
}

// claimList names claims.
func claimList(claims []*corev1.PersistentVolumeClaim) finding.Text {
	var names []string
	for _, c := range claims {
		names = append(names, c.Namespace+"/"+c.Name)
	}
	return finding.List(names)
}

// count counts claims.
func count(claims []*corev1.PersistentVolumeClaim) finding.Text {
	if len(claims) == 1 {
		return finding.Textf("claim %s/%s", "PersistentVolumeClaim %s/%s", claims[0].Namespace, claims[0].Name)
	}
	return finding.Textf("%d claims", "PersistentVolumeClaim %d개", len(claims))
}

// oldest is when the first of the claims was made.
func oldest(claims []*corev1.PersistentVolumeClaim) time.Time {
	var first time.Time
	for _, c := range claims {
		first = finding.Earlier(first, c.CreationTimestamp.Time)
	}
	return first
}

// eventWindow is how old the last word about a volume may be to tell of the present: the controllers
// and the kubelet try again at least every two minutes (k8s.io/kubernetes/pkg/volume/util/types,
// MaxDurationBeforeRetry), and the event recorder lets one repeated event in five minutes through at
// worst (k8s.io/client-go/tools/record, defaultSpamQPS).
const eventWindow = 10 * time.Minute

// lastEvent returns the newest event about a subject that has one of the reasons and is not old.
func lastEvent(s *snapshot.Snapshot, subject finding.Subject, reasons ...string) *corev1.Event {
	for _, e := range slices.Backward(s.EventsOf(subject)) {
		if slices.Contains(reasons, e.Reason) && s.Now().Sub(snapshot.EventTime(e)) <= eventWindow {
			return e
		}
	}
	return nil
}

// eventEvidence quotes an event.
func eventEvidence(e *corev1.Event) finding.Evidence {
	o := e.InvolvedObject
	return finding.Evidence{
		Source: "Event " + e.Reason + " on " + finding.Named(finding.Subject{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}), Path: ".message",
		Value: finding.Quote(e.Message), At: finding.Timestamp(snapshot.EventTime(e)),
	}
}

// quoted puts somebody else's words into a sentence.
func quoted(message string) finding.Text {
	return finding.Verbatim("\"" + finding.Quote(message) + "\"")
}

// owners are what Snapshot.Workload reads, and the pods that it names.
func owners(needs ...rule.Need) []rule.Need {
	return slices.Concat([]rule.Need{rule.Any[*corev1.Pod]()}, needs, rule.Owners())
}
