package scenarios

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/synthetic"
)

// later is as far ahead as the scenarios' clock goes, so that what was made just now is a day old.
const later = 24 * time.Hour

// ahead is a clock that goes ahead of the real one.
type ahead struct{ clock.RealClock }

func (a ahead) Now() time.Time                  { return a.RealClock.Now().Add(later) }
func (a ahead) Since(t time.Time) time.Duration { return a.Now().Sub(t) }

func master(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(admin, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// makeAll creates objects, with their status.
func makeAll(t *testing.T, objects ...client.Object) {
	t.Helper()
	c := master(t)
	for _, o := range objects {
		status := o.DeepCopyObject().(client.Object)
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
		}
		switch o.(type) {
		case *corev1.Pod, *corev1.ResourceQuota, *batchv1.CronJob:
			status.SetResourceVersion(o.GetResourceVersion())
			status.SetUID(o.GetUID())
			if err := c.Status().Update(t.Context(), status); err != nil {
				t.Fatalf("writing the status of %T %s: %v", o, o.GetName(), err)
			}
		}
	}
}

func namespace(t *testing.T, name string) {
	t.Helper()
	makeAll(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

// allowed returns a client of a ServiceAccount that has certain rights, in its namespace and beyond.
func allowed(t *testing.T, in, name string, local, everywhere []rbacv1.PolicyRule) client.WithWatch {
	t.Helper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: in, Name: name}}
	meta := metav1.ObjectMeta{Namespace: in, Name: name}
	global := metav1.ObjectMeta{Name: in + "-" + name}
	makeAll(t,
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: local},
		&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}},
		&rbacv1.ClusterRole{ObjectMeta: global, Rules: everywhere},
		&rbacv1.ClusterRoleBinding{ObjectMeta: global, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: global.Name}},
	)
	config := rest.CopyConfig(admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + in + ":" + name, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	c, err := synthetic.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func perform(t *testing.T, name string, c client.WithWatch, options map[string]string) (synthetic.Result, error) {
	t.Helper()
	s, ok := synthetic.All.Find(name)
	if !ok {
		t.Fatalf("there is no scenario %s", name)
	}
	return s.Run(t.Context(), synthetic.Environment{
		Client: c, Getenv: func(name string) string { return options[name] }, Namespace: "default", Pod: "checker", RunID: "r1",
		Grace: time.Second, Clock: ahead{}, Log: slog.New(slog.DiscardHandler),
	})
}

func pod(in, name string, status corev1.PodStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
		Status:     status,
	}
}

func crashing(restarts int32) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", RestartCount: restarts, Image: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
	}}}
}

// The pods and Events of a namespace that is looked at; those of another are not its business.
func TestPodScenariosReadWithTheirRightsAlone(t *testing.T) {
	const in, other = "look-pods", "look-pods-other"
	namespace(t, in)
	namespace(t, other)
	evicted := pod(in, "evicted", corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on memory"})
	evicted.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "u", Controller: new(true)}}
	check := pod(in, "check", corev1.PodStatus{Phase: corev1.PodFailed})
	check.Labels = map[string]string{"app": "kuberhealthy-check"}
	makeAll(t,
		pod(in, "crashing", crashing(20)), pod(in, "calm", corev1.PodStatus{Phase: corev1.PodRunning}), pod(in, "backing-off", crashing(3)),
		pod(in, "ended", corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on memory"}),
		evicted, check, pod(other, "foreign", crashing(30)),
	)
	backing := &corev1.Pod{}
	if err := master(t).Get(t.Context(), client.ObjectKey{Namespace: in, Name: "backing-off"}, backing); err != nil {
		t.Fatal(err)
	}
	at := metav1.NewTime(ahead{}.Now().Add(-time.Minute))
	event := func(name, pod string, uid string) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name}, Type: corev1.EventTypeWarning, Reason: "BackOff", Count: 25,
			FirstTimestamp: at, LastTimestamp: at, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: in, Name: pod, UID: backing.UID},
			Message: uid,
		}
	}
	gone := event("gone.1", "gone", "")
	gone.InvolvedObject.UID = "of-a-pod-that-is-gone"
	makeAll(t, event("backing-off.1", "backing-off", ""), gone)

	t.Run("restarts", func(t *testing.T) {
		s, _ := synthetic.All.Find("pod-restarts")
		got, err := perform(t, "pod-restarts", allowed(t, in, "restarts", s.Access, nil), map[string]string{"POD_NAMESPACE": in})
		compare(t, got, err, []string{"Found: 25 `BackOff` events for pod: backing-off in namespace: look-pods", "Found: 20 restarts for pod: crashing"}, nil)
	})
	t.Run("restarts, with Kuberhealthy's rights on pods only", func(t *testing.T) {
		rules := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}}
		got, err := perform(t, "pod-restarts", allowed(t, in, "no-events", rules, nil), map[string]string{"POD_NAMESPACE": in})
		compare(t, got, err, []string{"pod: crashing"}, []string{"may not list events in the namespace look-pods: give it a Role with the verb list on the resource events"})
	})
	t.Run("restarts in all namespaces", func(t *testing.T) {
		s, _ := synthetic.All.Find("pod-restarts")
		got, err := perform(t, "pod-restarts", allowed(t, in, "restarts-all", nil, s.ClusterAccess), nil)
		compare(t, got, err, []string{"pod: foreign", "pod: backing-off", "pod: crashing"}, nil)
	})
	t.Run("status", func(t *testing.T) {
		s, _ := synthetic.All.Find("pod-status")
		got, err := perform(t, "pod-status", allowed(t, in, "status", s.Access, nil), map[string]string{"TARGET_NAMESPACE": in})
		compare(t, got, err, []string{
			"pod: backing-off in namespace: look-pods is in pod status phase Running ", "pod: crashing in namespace: look-pods",
			"pod: ended in namespace: look-pods is in pod status phase Failed : Evicted (The node was low on memory)",
		}, []string{"makes others in their place: 1"})
	})
	t.Run("status without the right", func(t *testing.T) {
		_, err := perform(t, "pod-status", allowed(t, in, "nothing", nil, nil), nil)
		refused(t, err, "the check's ServiceAccount may not list pods in the whole cluster: give it a ClusterRole with the verb list on the resource pods")
	})
}

// More pods than one page holds.
func TestManyPodsAreReadPageByPage(t *testing.T) {
	const in, many = "look-many", 1203
	namespace(t, in)
	for i := range many {
		makeAll(t, pod(in, fmt.Sprintf("p%04d", i), crashing(0)))
	}
	s, _ := synthetic.All.Find("pod-status")
	got, err := perform(t, "pod-status", allowed(t, in, "status", s.Access, nil), map[string]string{"TARGET_NAMESPACE": in})
	if err != nil || len(got.Errors) != many {
		t.Fatalf("%d of %d pods were seen, %v", len(got.Errors), many, err)
	}
	seen := map[string]bool{}
	for _, text := range got.Errors {
		seen[text] = true
	}
	if len(seen) != many {
		t.Errorf("%d different pods, want %d", len(seen), many)
	}
}

func TestQuotasAreReadWithTheirRightsAlone(t *testing.T) {
	const in, other = "look-quota", "look-quota-other"
	namespace(t, in)
	namespace(t, other)
	quota := func(in string) *corev1.ResourceQuota {
		list := func(cpu string) corev1.ResourceList {
			return corev1.ResourceList{corev1.ResourceRequestsCPU: resource.MustParse(cpu)}
		}
		return &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: list("10")},
			Status: corev1.ResourceQuotaStatus{Hard: list("10"), Used: list("9500m")},
		}
	}
	makeAll(t, quota(in), quota(other))
	s, _ := synthetic.All.Find("resource-quota")
	c := allowed(t, in, "quota", nil, s.ClusterAccess)
	const full = "requests.cpu for look-quota namespace has reached threshold of 0.90: USED: 9500m LIMIT: 10"
	tests := map[string]struct {
		options map[string]string
		want    []string
	}{
		"all namespaces":             {nil, []string{full, "look-quota-other"}},
		"all but one":                {map[string]string{"BLACKLIST": "default, look-quota-other"}, []string{full}},
		"one":                        {map[string]string{"WHITELIST": "look-quota"}, []string{full}},
		"one, and it is passed over": {map[string]string{"WHITELIST": "look-quota", "BLACKLIST": "look-quota"}, nil},
		"a higher threshold":         {map[string]string{"THRESHOLD": "0.96"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := perform(t, "resource-quota", c, tc.options)
			compare(t, got, err, tc.want, nil)
		})
	}
	t.Run("one, with the right in it only", func(t *testing.T) {
		got, err := perform(t, "resource-quota", allowed(t, in, "local", s.ClusterAccess, nil), map[string]string{"WHITELIST": in})
		compare(t, got, err, []string{full}, nil)
	})
	t.Run("without the right", func(t *testing.T) {
		_, err := perform(t, "resource-quota", allowed(t, in, "nothing", nil, nil), nil)
		refused(t, err, "give it a ClusterRole with the verb list on the resource resourcequotas")
	})
}

func TestCronJobsAreReadWithTheirRightsAlone(t *testing.T) {
	const in = "look-cron"
	namespace(t, in)
	cron := func(name, schedule string, suspend bool, last time.Duration) *batchv1.CronJob {
		return &batchv1.CronJob{
			ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name},
			Spec: batchv1.CronJobSpec{
				Schedule: schedule, Suspend: &suspend,
				JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "app", Image: "app"}},
				}}}},
			},
			Status: batchv1.CronJobStatus{LastScheduleTime: new(metav1.NewTime(ahead{}.Now().Add(-last).Truncate(time.Minute)))},
		}
	}
	makeAll(t, cron("on-time", "* * * * *", false, time.Minute), cron("late", "* * * * *", false, time.Hour), cron("asleep", "* * * * *", true, time.Hour))
	s, _ := synthetic.All.Find("cronjob")
	got, err := perform(t, "cronjob", allowed(t, in, "cron", s.Access, nil), map[string]string{"NAMESPACE": in})
	compare(t, got, err, []string{
		"There were 1 cronjob(s) that had a last schedule time outside of scheduled window in namespace look-cron",
		"Cronjob late in namespace look-cron has not scheduled a job in scheduled window",
	}, []string{"CronJobs that are suspended, and were passed over: 1"})
	_, err = perform(t, "cronjob", allowed(t, in, "nothing", nil, nil), map[string]string{"NAMESPACE": in})
	refused(t, err, "failed to fetch cronjobs: the check's ServiceAccount may not list cronjobs in the namespace look-cron")
}

// The servers themselves cannot be here: the API server takes no loopback address for an endpoint.
func TestDNSLooksForItsServersWithTheirRightsAlone(t *testing.T) {
	const in = "look-dns"
	namespace(t, in)
	s, _ := synthetic.All.Find("dns")
	options := map[string]string{"NAMESPACE": in, "DNS_POD_SELECTOR": "k8s-app=kube-dns"}
	const none = "No endpoints found: no Service of the namespace look-dns with the labels k8s-app=kube-dns has an endpoint that is ready"
	tests := map[string][]rbacv1.PolicyRule{
		"with its own rights":        s.ClusterAccess,
		"with Kuberhealthy's rights": {{APIGroups: []string{""}, Resources: []string{"endpoints"}, Verbs: []string{"get", "list"}}},
	}
	number := 0
	for name, rules := range tests {
		number++
		account := fmt.Sprintf("dns-%d", number)
		t.Run(name, func(t *testing.T) {
			got, err := perform(t, "dns", allowed(t, in, account, rules, nil), options)
			compare(t, got, err, []string{none}, nil)
		})
	}
	_, err := perform(t, "dns", allowed(t, in, "nothing", nil, nil), options)
	refused(t, err, "DNS status check unable to get dns endpoints from cluster: the check's ServiceAccount may not list endpointslices")
}

func compare(t *testing.T, got synthetic.Result, err error, wantErrors, wantNotes []string) {
	t.Helper()
	if err != nil {
		t.Fatalf("it could not run: %v", err)
	}
	for what, pair := range map[string][2][]string{"errors": {got.Errors, wantErrors}, "notes": {got.Notes, wantNotes}} {
		if len(pair[0]) != len(pair[1]) {
			t.Errorf("%d %s, want %d:\n%s", len(pair[0]), what, len(pair[1]), strings.Join(pair[0], "\n"))
		}
		for _, want := range pair[1] {
			if !strings.Contains(strings.Join(pair[0], "\n"), want) {
				t.Errorf("among the %s\n%s\nis none with\n%s", what, strings.Join(pair[0], "\n"), want)
			}
		}
	}
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("it said\n%v\nwant in it\n%s", err, want)
	}
}
