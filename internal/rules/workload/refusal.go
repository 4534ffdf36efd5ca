package workload

import (
	"fmt"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// refusal says why a controller could not create a pod.
type refusal struct {
	message  string
	since    time.Time
	evidence finding.Evidence
}

// mechanism classes a refusal by the words of the admission plugin that spoke
// (k8s.io/apiserver/pkg/admission/plugin/resourcequota, .../webhook;
// k8s.io/kubernetes/plugin/pkg/admission/security/podsecurity and .../serviceaccount).
func (r refusal) mechanism() finding.Mechanism {
	switch {
	case strings.Contains(r.message, "exceeded quota"):
		return v1alpha1.MechanismExhausted
	case strings.Contains(r.message, "failed calling webhook"):
		return v1alpha1.MechanismFailing
	case strings.Contains(r.message, "serviceaccount"), strings.Contains(r.message, "service account"):
		return v1alpha1.MechanismMissing
	default:
		return v1alpha1.MechanismRefused
	}
}

// refusalRemedies say where to look for what refused, by its words.
func refusalRemedies(namespace string, r refusal) []finding.Remedy {
	switch r.mechanism() {
	case v1alpha1.MechanismExhausted:
		return []finding.Remedy{{
			Text:    finding.Text{EN: "see what the quota is used up by, and raise it or free some", KO: "quota 사용량을 확인하고 한도를 늘리거나 사용량을 줄입니다"},
			Command: fmt.Sprintf("kubectl -n %s describe resourcequota", namespace),
		}}
	case v1alpha1.MechanismMissing:
		return []finding.Remedy{{
			Text:    finding.Text{EN: "see which ServiceAccounts there are", KO: "ServiceAccount 목록을 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s get serviceaccounts", namespace),
		}}
	case v1alpha1.MechanismFailing:
		return []finding.Remedy{{
			Text:    finding.Text{EN: "see which webhooks are called, and mend the Service behind the one named", KO: "호출되는 webhook을 확인하고 메시지에 나온 webhook의 Service를 복구합니다"},
			Command: "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
		}}
	default:
		return []finding.Remedy{{
			Text:    finding.Text{EN: "see the namespace's labels, which Pod Security goes by", KO: "Pod Security가 따르는 namespace 레이블을 확인합니다"},
			Command: fmt.Sprintf("kubectl get namespace %s --show-labels", namespace),
		}}
	}
}
