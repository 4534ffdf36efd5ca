package workload

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
)

// finalizerWaits says, for the finalizers of Kubernetes itself, who removes each and what for that
// waits: k8s.io/kubernetes/pkg/volume/util/finalizer.go, k8s.io/apimachinery/pkg/apis/meta/v1/types.go,
// k8s.io/cloud-provider/service/helpers, k8s.io/api/batch/v1/types.go and
// k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/types.go. In
// https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/ they are explained.
var finalizerWaits = map[string]finding.Text{
	"kubernetes.io/pvc-protection": {
		EN: "the controller manager removes it once no pod uses the claim", KO: "사용하는 Pod가 없어지면 controller manager가 제거합니다",
	},
	"kubernetes.io/pv-protection": {
		EN: "the controller manager removes it once no claim is bound to the volume", KO: "바인딩된 PVC가 없어지면 controller manager가 제거합니다",
	},
	metav1.FinalizerDeleteDependents: {
		EN: "the garbage collector removes it once all that the object owns is gone", KO: "이 객체가 소유한 객체가 모두 없어지면 garbage collector가 제거합니다",
	},
	metav1.FinalizerOrphanDependents: {
		EN: "the garbage collector removes it once it has released what the object owns", KO: "이 객체가 소유한 객체를 분리하면 garbage collector가 제거합니다",
	},
	"service.kubernetes.io/load-balancer-cleanup": {
		EN: "the cloud controller manager removes it once the load balancer is gone", KO: "로드 밸런서가 삭제되면 cloud controller manager가 제거합니다",
	},
	"batch.kubernetes.io/job-tracking": {
		EN: "the Job controller removes it once it has counted the pod", KO: "Job controller가 Pod를 집계한 뒤 제거합니다",
	},
	"customresourcecleanup.apiextensions.k8s.io": {
		EN: "the API server removes it once every object of the kind is gone", KO: "해당 종류의 객체가 모두 없어지면 API server가 제거합니다",
	},
	"external-provisioner.volume.kubernetes.io/finalizer": {
		EN: "the volume driver's provisioner removes it once the volume is deleted", KO: "볼륨이 삭제되면 볼륨 드라이버의 provisioner가 제거합니다",
	},
}

// waitsFor says who removes a finalizer. Of one that is not Kubernetes' own its name tells the owner:
// it begins with a domain.
func waitsFor(finalizer string) finding.Text {
	if text, ok := finalizerWaits[finalizer]; ok {
		return finding.Join(": ", finding.Verbatim(finalizer), text)
	}
	if strings.HasPrefix(finalizer, "external-attacher/") {
		return finding.Join(": ", finding.Verbatim(finalizer),
			finding.Text{EN: "the volume driver's attacher removes it once the volume is detached", KO: "볼륨이 분리되면 볼륨 드라이버의 attacher가 제거합니다"})
	}
	return finding.Join(": ", finding.Verbatim(finalizer),
		finding.Text{EN: "the controller that set it has to remove it", KO: "이 finalizer를 설정한 controller가 제거해야 합니다"})
}

// tellFinalizers says who removes each of an object's finalizers.
func tellFinalizers(finalizers []string) finding.Text {
	texts := make([]finding.Text, 0, len(finalizers))
	for _, f := range finalizers {
		texts = append(texts, waitsFor(f))
	}
	return finding.Join("; ", texts...)
}

// isKubernetes tells whether a component of Kubernetes itself removes a finalizer.
func isKubernetes(finalizer string) bool {
	_, known := finalizerWaits[finalizer]
	return known
}

// writersOf names who has written an object, other than people with kubectl: its controller is among
// them, where it ever touched the object.
func writersOf(o metav1.Object) []string {
	var out []string
	for _, f := range o.GetManagedFields() {
		if f.Manager != "" && !strings.HasPrefix(f.Manager, "kubectl") && !slices.Contains(out, f.Manager) {
			out = append(out, f.Manager)
		}
	}
	slices.Sort(out)
	return out
}

// neverStrip warns of the shortcut that loses what the finalizer guards.
func neverStrip() finding.Remedy {
	return finding.Remedy{Text: finding.Text{
		EN: "leave the finalizers as they are: taking one away by hand skips the clean-up that it stands for, and leaves volumes, load balancers or other resources behind",
		KO: "finalizer를 직접 지우지 마십시오. 정리 작업을 건너뛰게 되어 볼륨, 로드 밸런서 등의 리소스가 남습니다",
	}}
}
