package workload

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

func service(namespace, name, ip string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{ClusterIP: ip, Selector: map[string]string{"app": name}},
	}
}

// appPod is a pod of an app, owned by a StatefulSet of its name.
func appPod(namespace, app, ip string, ready corev1.ConditionStatus, env ...corev1.EnvVar) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: app + "-0", Labels: map[string]string{"app": app},
			OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: app, Controller: new(true)}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Env: env}}},
		Status: corev1.PodStatus{
			PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
		},
	}
}

// shop is front, which calls api, which calls db; db is not ready, and neither is anybody else.
func shop() (d *directory, front *corev1.Pod) {
	b := snapshot.NewBuilder(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC), snapshot.Source{})
	front = appPod("shop", "front", "10.244.0.2", corev1.ConditionFalse, corev1.EnvVar{Name: "API_URL", Value: "//api:80"}, corev1.EnvVar{Name: "CACHE_HOST", Value: "//cache"})
	api := appPod("shop", "api", "10.244.0.3", corev1.ConditionFalse)
	api.Spec.Containers[0].Args = []string{"--db=postgres://db.shop:5432/x"}
	for _, o := range []snapshot.Object{
		front, api, appPod("shop", "db", "10.244.0.4", corev1.ConditionFalse), appPod("shop", "cache", "10.244.0.5", corev1.ConditionTrue),
		service("shop", "front", "10.96.0.2"), service("shop", "api", "10.96.0.3"), service("shop", "db", "10.96.0.4"), service("shop", "cache", "10.96.0.5"),
		service("other", "db", "10.96.1.4"), service("kube-system", "kube-dns", "10.96.0.10"), service("default", "kubernetes", "10.96.0.1"),
	} {
		b.Add(o)
	}
	return newDirectory(b.Build()), front
}

func TestALineNamesWhomAPodWaitsFor(t *testing.T) {
	for line, want := range map[string][]string{
		"dial tcp 10.96.0.4:5432: connect: connection refused":                                                             {"Service shop/db", "StatefulSet shop/db"},
		"dial tcp 10.244.0.4:5432: i/o timeout":                                                                            {"Pod shop/db-0", "StatefulSet shop/db"},
		"connection to server at \"db\" (10.96.0.4), port 5432 failed: Connection refused":                                 {"Service shop/db", "StatefulSet shop/db"},
		"Get \"http://api.shop.svc.cluster.local:80/x\": context deadline exceeded":                                        {"Service shop/api", "StatefulSet shop/api"},
		"HTTPConnectionPool(host='api', port=80): Max retries exceeded (Caused by NewConnectionError): Connection refused": {"Service shop/api", "StatefulSet shop/api"},
		"Error 111 connecting to cache:6379. Connection refused.":                                                          {"Service shop/cache", "StatefulSet shop/cache"},
		"Can't connect to MySQL server on 'db:3306'":                                                                       {"Service shop/db", "StatefulSet shop/db"},
		"dial tcp 10.96.1.4:5432: connect: connection refused":                                                             {"Service other/db"},
		"could not connect to db.other:5432":                                                                               {"Service other/db"},
		"dial tcp: lookup db-0.db.shop.svc.cluster.local on 10.96.0.10:53: no such host":                                   {"Service shop/db", "StatefulSet shop/db"},
		"dial tcp: lookup db on 10.96.0.10:53: server misbehaving":                                                         {"Service kube-system/kube-dns"},
		"getaddrinfo EAI_AGAIN db":                                                                                         {"Service kube-system/kube-dns"},
		"curl: (6) Could not resolve host: api":                                                                            {"Service kube-system/kube-dns", "Service shop/api", "StatefulSet shop/api"},
		"Get \"https://10.96.0.1:443/api/v1/pods\": dial tcp 10.96.0.1:443: connect: connection refused":                   {"Service default/kubernetes"},
		"dial tcp 127.0.0.1:5432: connect: connection refused":                                                             nil,
		"dial tcp 10.244.0.2:80: connect: connection refused":                                                              nil,
		"dial tcp front:80: connect: connection refused":                                                                   nil,
		"dial tcp 203.0.113.7:443: i/o timeout":                                                                            nil,
		"lookup example.com on 203.0.113.53:53: no such host":                                                              nil,
		"panic: db is nil": nil,
	} {
		t.Run(line, func(t *testing.T) {
			d, front := shop()
			var got []string
			for _, s := range subjectsOf(d.waitedFor(front, readLog(line))) {
				got = append(got, finding.Named(s))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPodMayWaitForWhatItIsSetUpToCall(t *testing.T) {
	fell := metav1.NewTime(time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC))
	for name, tc := range map[string]struct {
		api  metav1.Time
		want []string
	}{
		"what fell ill before it explains it":                        {metav1.NewTime(fell.Add(-time.Minute)), []string{"Service shop/api"}},
		"what fell ill after it passed on what ails those behind it": {metav1.NewTime(fell.Add(time.Minute)), []string{"Service shop/api", "Service shop/db"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, front := shop()
			front.Status.Conditions[0].LastTransitionTime = fell
			api, _ := snapshot.Get[*corev1.Pod](d.s, "shop", "api-0")
			api.Status.Conditions[0].LastTransitionTime = tc.api
			var got []string
			for _, found := range d.configured(front) {
				got = append(got, found.name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("what is Ready is left out (-want +got):\n%s", diff)
			}
		})
	}
}
