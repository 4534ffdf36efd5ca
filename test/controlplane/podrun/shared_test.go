package podrun

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	runengine "github.com/maek-dev/maek/internal/operator/run"
)

// TestBesideTheEngineOfKuberhealthysChecks runs a Check while the engine of Kuberhealthy's checks reads the same
// cache of pods, and sees that neither takes the other's pods for its own.
func TestBesideTheEngineOfKuberhealthysChecks(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	k := play(t, ns)
	check := podCheck(t, ns, "slow", nil)
	create(t, &khv1.KuberhealthyCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "theirs"},
		Spec:       khv1.CheckSpec{RunInterval: "1h", Timeout: "1h", PodSpec: runtime.RawExtension{Raw: []byte(`{"containers":[{"name":"main","image":"hang"}]}`)}},
	})
	self := start(t, ns, "", 0, false)
	done := self.begin(check, slot, time.Minute)
	engine, err := runengine.New(runengine.Options{
		Client: self.client, Cache: self.caches,
		Owns:    func(types.UID) bool { return true },
		Served:  func(schema.GroupVersionKind) bool { return true },
		Adopted: func() bool { return true },
		Self:    "operator",
		Settings: func() kuberhealthy.Settings {
			// It keeps none of the pods that it takes for its own.
			return kuberhealthy.Settings{Pods: kuberhealthy.PodSettings{ReportingURLV2: "http://kuberhealthy/externalCheckStatus"}}
		},
		Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatalf("making an engine: %v", err)
	}
	stopped := make(chan struct{})
	go func() {
		_ = engine.Run(self.life)
		close(stopped)
	}()
	t.Cleanup(func() {
		self.stop()
		<-stopped
	})
	eventually(t, "both pods are at work", func() bool {
		pods := left(t, ns)
		return len(pods) == 2 && pods[0].Status.Phase == corev1.PodRunning && pods[1].Status.Phase == corev1.PodRunning
	})
	close(k.released)
	judged(t, ends(t, done), v1alpha1.ResultSuccess, "", "")
	// Another of theirs begins after ours has ended: the engine has looked at all of its pods by then.
	create(t, &khv1.KuberhealthyCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "theirs-too"},
		Spec:       khv1.CheckSpec{RunInterval: "1h", Timeout: "1h", PodSpec: runtime.RawExtension{Raw: []byte(`{"containers":[{"name":"main","image":"hang"}]}`)}},
	})
	eventually(t, "the pod of another is there", func() bool { return len(left(t, ns)) == 3 })
	if err := self.Clear(t.Context(), check); err != nil {
		t.Fatal(err)
	}
	eventually(t, "only their pods are left, at work", func() bool {
		pods := left(t, ns)
		for _, pod := range pods {
			if !strings.HasPrefix(pod.Name, "theirs-") || pod.DeletionTimestamp != nil {
				return false
			}
		}
		return len(pods) == 2
	})
	if pods, doubled := k.made(); pods != 3 || doubled != 0 {
		t.Errorf("there were %d pods, %d double; want 3, none", pods, doubled)
	}
}
