package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ImagePullSecretMissing",
	Title: finding.Text{EN: "image pull Secret does not exist", KO: "image pull Secret이 없습니다"},
	Doc: finding.Text{
		EN: "Pods name a Secret with the credentials of a registry that their kubelet cannot get, and cannot pull their image without it. Where the pull " +
			"succeeds all the same it is told as info, for the image will not be pulled once the registry wants credentials. Left alone: old events, pods that ended, and " +
			"pods on a Node whose kubelet is dead.",
		KO: "Pod가 지정한 registry 인증용 Secret을 kubelet이 가져오지 못해 이미지를 받지 못합니다. Secret 없이도 이미지를 받을 수 있었다면 info로 알립니다. " +
			"오래된 이벤트, 종료된 Pod, kubelet이 멈춘 Node의 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Any[*corev1.Event](), rule.Optional[*corev1.ServiceAccount](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()),
	CustomResources: true,
	For:             time.Minute,
	Detect:          imagePullSecretMissing,
})

// noPullSecret is how a kubelet says that it lacks credentials
// (k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go, getPullSecretsForPod).
var noPullSecret = regexp.MustCompile(`^Unable to retrieve some image pull secrets \(([^)]*)\)`)

// unpulled is a pod whose kubelet lacks a pull Secret.
type unpulled struct {
	pod   *corev1.Pod
	event *corev1.Event
	// failing tells that the pod waits for an image.
	failing bool
}

func imagePullSecretMissing(p *rule.Pass) {
	failing := map[*corev1.Pod]bool{}
	for _, f := range p.PullFailures() {
		failing[f.Pod] = true
	}
	found := map[finding.Subject][]unpulled{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if len(pod.Spec.ImagePullSecrets) == 0 || snapshot.PodDone(pod) || pod.DeletionTimestamp != nil || p.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State == snapshot.Dead {
			continue
		}
		for _, e := range p.PodEvents(pod) {
			m := noPullSecret.FindStringSubmatch(e.Message)
			if e.Reason != "FailedToRetrieveImagePullSecret" || m == nil || p.Now().Sub(snapshot.EventTime(e)) > retryWindow {
				continue
			}
			for name := range strings.SplitSeq(m[1], ", ") {
				secret := finding.Subject{Kind: kindSecret, Namespace: pod.Namespace, Name: name}
				found[secret] = append(found[secret], unpulled{pod: pod, event: e, failing: failing[pod]})
			}
			break
		}
	}
	for _, secret := range slices.SortedFunc(maps.Keys(found), finding.CompareSubjects) {
		p.Report(missingPullSecret(p, secret, found[secret]))
	}
}

func missingPullSecret(p *rule.Pass, secret finding.Subject, pods []unpulled) finding.Finding {
	// The pods that wait say most.
	slices.SortStableFunc(pods, func(a, b unpulled) int {
		switch {
		case a.failing == b.failing:
			return 0
		case a.failing:
			return -1
		default:
			return 1
		}
	})
	first := pods[0]
	f := finding.Finding{
		Subject: secret, Mechanism: v1alpha1.MechanismMissing, Since: snapshot.EventStart(first.event), Field: pullSecretField(p, first.pod, secret.Name),
		Evidence: []finding.Evidence{{
			Source: "Event " + first.event.Reason + " on " + finding.Named(snapshot.SubjectOf(first.pod)), Path: ".message",
			Value: finding.Quote(first.event.Message), At: finding.Timestamp(snapshot.EventTime(first.event)),
		}},
	}
	waiting := 0
	var users []finding.Subject
	for _, u := range pods {
		users = append(users, p.Workload(u.pod))
		if u.failing {
			waiting++
			f.Explains = append(f.Explains, snapshot.SubjectOf(u.pod), p.Workload(u.pod))
		}
	}
	slices.SortFunc(f.Explains, finding.CompareSubjects)
	f.Explains = slices.Compact(f.Explains)
	missing := finding.Textf("%s does not exist", "%s 없음", finding.Named(secret))
	effect := finding.Format("%s cannot pull the image", "%s가 이미지를 받지 못합니다", finding.Pods(waiting))
	if waiting == 0 {
		f.Severity = finding.Info
		effect = finding.Text{EN: "images are pulled without it", KO: "없이도 이미지를 받고 있습니다"}
	}
	f.Title = finding.Join(", ", missing, effect)
	f.Why = finding.Join("; ",
		finding.Format("the kubelet cannot get it for %s", "kubelet이 %s에 필요한 이 Secret을 가져오지 못합니다", tell(users)),
		blameMakers(p, &f))
	f.Remedies.Now = append(f.Remedies.Now,
		finding.Remedy{
			Text:    finding.Text{EN: "see which Secrets there are: it may have another name, or be in another namespace", KO: "Secret 목록을 확인합니다. 이름이 다르거나 다른 namespace에 있을 수 있습니다"},
			Command: fmt.Sprintf("kubectl -n %s get secrets; kubectl get secrets -A --field-selector metadata.name=%s", secret.Namespace, secret.Name),
		},
		finding.Remedy{
			Text: finding.Text{EN: "create it; pods that wait try again by themselves within five minutes", KO: "Secret을 만듭니다. 대기 중인 Pod는 5분 안에 스스로 다시 시도합니다"},
			Command: fmt.Sprintf("kubectl -n %s create secret docker-registry %s --docker-server=%s --docker-username=USER --docker-password=PASSWORD",
				secret.Namespace, secret.Name, registryOf(first.pod)),
		})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "let one controller copy registry credentials into every namespace, or give them to the nodes (credential provider)",
		KO: "registry 인증 정보는 controller로 모든 namespace에 배포하거나 노드의 credential provider로 제공합니다",
	}}}
	return f
}

// registryOf is the registry of a pod's first image.
func registryOf(pod *corev1.Pod) string {
	for i := range pod.Spec.Containers {
		return snapshot.ParseImage(pod.Spec.Containers[i].Image).Registry
	}
	return "REGISTRY"
}

// pullSecretField is where a pod got the name from: its ServiceAccount gives its own to pods that name none
// (k8s.io/kubernetes/plugin/pkg/admission/serviceaccount).
func pullSecretField(p *rule.Pass, pod *corev1.Pod, name string) string {
	account := pod.Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	if a, ok := snapshot.Get[*corev1.ServiceAccount](p.Snapshot, pod.Namespace, account); ok &&
		slices.ContainsFunc(a.ImagePullSecrets, func(r corev1.LocalObjectReference) bool { return r.Name == name }) {
		return fmt.Sprintf("ServiceAccount %s/%s .imagePullSecrets", pod.Namespace, account)
	}
	w := p.Workload(pod)
	return fmt.Sprintf("%s %s/%s %s", w.Kind, w.Namespace, w.Name, inPodSpec(w.Kind, ".imagePullSecrets"))
}
