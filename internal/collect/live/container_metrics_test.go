package live

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	probesPath   = "/api/v1/nodes/w1/proxy/metrics/probes"
	cadvisorPath = "/api/v1/nodes/w1/proxy/metrics/cadvisor"
)

func TestWhatAKubeletCountedOfAContainer(t *testing.T) {
	t.Parallel()
	const (
		counts  = `prober_probe_total{container="app",namespace="shop",pod="api",pod_uid="u",probe_type="Liveness",result="failed"} 7` + "\n"
		periods = `container_cpu_cfs_periods_total{container="app",id="/a",image="i",name="n",namespace="shop",pod="api"} 9 1700000000000` + "\n"
		other   = `prober_probe_total{container="app",namespace="shop",pod="web",pod_uid="v",probe_type="Liveness",result="failed"} 8` + "\n"
	)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Spec: corev1.PodSpec{NodeName: "w1", Containers: []corev1.Container{
		{Name: "app", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")}}},
		{Name: "free"},
	}}}
	for name, tc := range map[string]struct {
		set  func(s *apiServer)
		of   string
		free bool // asks about the container that has no limit of CPU
		want snapshot.Answer
	}{
		"both pages": {
			of: "api",
			set: func(s *apiServer) {
				s.say(probesPath, http.StatusOK, other+counts)
				s.say(cadvisorPath, http.StatusOK, periods)
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: counts + periods},
		},
		"a page of CPU that cannot be read": {
			of: "api",
			set: func(s *apiServer) {
				s.say(probesPath, http.StatusOK, counts)
				s.say(cadvisorPath, http.StatusInternalServerError, "broken")
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: counts},
		},
		"a container without a limit of CPU": {
			of: "api", free: true, set: func(s *apiServer) { s.say(probesPath, http.StatusOK, strings.ReplaceAll(counts, `"app"`, `"free"`)) },
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: strings.ReplaceAll(counts, `"app"`, `"free"`)},
		},
		"a user who may not ask kubelets": {
			of: "api", set: func(s *apiServer) { s.fail(probesPath, rbacDenies("get", "nodes/proxy")) },
			want: snapshot.Answer{Outcome: snapshot.Denied, Error: `nodes/proxy is forbidden: User "kim" cannot get resource "nodes/proxy" in API group "" in the namespace "shop"`},
		},
		"a pod that is not there": {
			of: "gone", set: func(*apiServer) {}, want: snapshot.Answer{Outcome: snapshot.Absent, Error: "no node runs pod shop/gone"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			s.hold(podsPath, pod)
			tc.set(s)
			_, client := collected(t, s, options(), podKind)
			q := snapshot.Question{Kind: snapshot.ContainerMetrics, Namespace: "shop", Name: tc.of, Container: "app"}
			if tc.free {
				q.Container = "free"
			}
			got := client.Answer(t.Context(), []snapshot.Question{q})[q]
			if asked := len(s.requests(cadvisorPath)) > 0; tc.free && asked {
				t.Error("the kubelet was asked to gather what it does not count")
			}
			tc.want.At = got.At
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
