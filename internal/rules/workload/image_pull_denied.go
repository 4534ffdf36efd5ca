package workload

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ImagePullDenied",
	Title: finding.Textf("registry refuses the image pull", "registry가 이미지 pull을 거부합니다"),
	Doc: finding.Textf(
		"A registry answers a pull with 401 or 403: the pod names no pull secret, or one that is missing, expired, or for another host or repository. Some registries, "+
			"Docker Hub among them, answer the same for a repository that does not exist. Silent when the registry says plainly that the image is not there "+
			"(ImageNotFound), when it refuses for too many requests or cannot be reached (RegistryUnreachable).",
		"registry가 pull 요청에 401 또는 403으로 응답합니다. Pod에 imagePullSecrets가 없거나, 지정한 Secret이 없거나 만료되었거나, 다른 host나 repository용인 경우입니다. "+
			"Docker Hub처럼 존재하지 않는 repository에도 같은 응답을 하는 registry가 있습니다. registry가 이미지가 없다고 분명히 응답하면 ImageNotFound에서, "+
			"요청이 너무 많다고 거부하거나 연결되지 않으면 RegistryUnreachable에서 다룹니다."),
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/",
	Severity: finding.Warning,
	Needs:    pullNeeds(),
	For:      pullPatience,
	Causes: []rule.Cause{
		{Code: "SecretMissing", Via: rule.Cluster, Holds: namesPullSecret},
		{Code: "ImagePullSecretMissing", Via: rule.Cluster, Holds: namesPullSecret},
	},
	Detect: detectImagePullDenied,
})

// namesPullSecret tells whether pods of the effect name the missing Secret as a pull secret.
func namesPullSecret(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	return cause.Subject.Kind == "Secret" && slices.ContainsFunc(effect.Explains, func(subject finding.Subject) bool {
		p, ok := snapshot.Get[*corev1.Pod](s, subject.Namespace, subject.Name)
		return ok && p.Namespace == cause.Subject.Namespace && slices.Contains(pullSecrets(p), cause.Subject.Name)
	})
}

func pullSecrets(p *corev1.Pod) []string {
	var out []string
	for _, ref := range p.Spec.ImagePullSecrets {
		out = append(out, ref.Name)
	}
	return out
}

func detectImagePullDenied(p *rule.Pass) {
	for _, g := range failedPulls(p, pullDenied) {
		p.Report(imagePullDenied(p, g))
	}
}

func imagePullDenied(p *rule.Pass, g group[snapshot.PullFailure]) finding.Finding {
	first, pods := g.Items[0], pullPods(g.Items)
	h := historyOf(p.Snapshot, g.Subject, pods)
	registry := snapshot.ParseImage(first.Image).Registry
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismUnauthorized,
		Field: podField(g.Subject, ".imagePullSecrets"),
		Since: pullSince(g.Items),
		Title: finding.Format("%s: the registry refuses image %s", "%s: registry가 이미지 pull을 거부합니다(%s)",
			finding.Verbatim(finding.Qualified(g.Subject)), imagesOf(g.Items)),
		Evidence: []finding.Evidence{pullEvidence(first)},
		RuledOut: []finding.Statement{{Text: finding.Textf(
			"network: %s answered", "네트워크 문제가 아닙니다. %s에서 응답이 왔습니다", registry)}},
	}
	credentials, seen := pullCredentials(p.Snapshot, first.Pod)
	f.Evidence = append(f.Evidence, seen...)
	var perhaps finding.Text
	if strings.Contains(first.Message, "repository does not exist or may require authorization") {
		f.Confidence = mediumConfidence
		perhaps = finding.Textf("this registry may answer the same for a repository that does not exist",
			"존재하지 않는 repository에도 같은 응답을 하는 registry일 수 있습니다")
	}
	f.Why = finding.Join("; ", inQuotes(reasonOf(first.Message)), credentials, perhaps, h.brought("mage"), h.serving())
	if h.blames("mage") {
		f.Remedies.Now = h.rollback()
	}
	f.Remedies.Now = append(f.Remedies.Now, denialRemedies(g.Subject, first.Pod, pods, registry, f.Field)...)
	return aboutPods(p.Snapshot, f, pods)
}

// pullCredentials says with which credentials the kubelet asked.
func pullCredentials(s *snapshot.Snapshot, p *corev1.Pod) (finding.Text, []finding.Evidence) {
	secrets := pullSecrets(p)
	for _, e := range s.PodEvents(p) {
		// k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go, getPullSecretsForPod.
		if e.Reason == "FailedToRetrieveImagePullSecret" {
			return finding.Textf("the kubelet cannot read the pull secret that the pod names (%s)", "Pod가 지정한 pull secret을 kubelet이 읽지 못합니다(%s)", strings.Join(secrets, ", ")),
				[]finding.Evidence{{
					Source: "Event " + finding.Qualified(snapshot.SubjectOf(p)), Path: ".message",
					Value: finding.Quote(e.Message), At: finding.Timestamp(snapshot.EventTime(e)),
				}}
		}
	}
	if len(secrets) == 0 {
		return finding.Textf("the pod names no pull secret", "Pod에 imagePullSecrets가 지정되어 있지 않습니다"), nil
	}
	return finding.Format("asked with the pull secret of the pod (%s)", "Pod의 pull secret으로 요청했습니다(%s)", finding.List(secrets)), nil
}

func denialRemedies(workload finding.Subject, p *corev1.Pod, pods []*corev1.Pod, registry, field string) []finding.Remedy {
	secrets := pullSecrets(p)
	if len(secrets) == 0 {
		r := edit(workload, pods, field)
		r.Text = finding.Textf("name a pull secret for %s in %s", "%[2]s에 %[1]s용 pull secret을 지정합니다", registry, field)
		return []finding.Remedy{r}
	}
	return []finding.Remedy{{
		Text: finding.Textf("see whether the secret is there and of type kubernetes.io/dockerconfigjson; then renew its credentials for %s",
			"Secret이 있고 type이 kubernetes.io/dockerconfigjson인지 확인한 뒤 %s용 자격 증명을 갱신합니다", registry),
		Command: fmt.Sprintf("kubectl -n %s describe secret %s", workload.Namespace, strings.Join(secrets, " ")),
	}}
}
