package install

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/statuspage"
)

// deed is one thing done to the API: "list pods", "update healthchecks.kuberhealthy.github.io/status".
type deed string

// watcher sees what an operator asks of the API server.
type watcher struct {
	mu            sync.Mutex
	done, refused map[deed]bool
}

// watched is a transport that a watcher sees.
type watched struct {
	*watcher
	http.RoundTripper
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.RoundTripper.RoundTrip(r)
	if d, ok := deedOf(r); ok && err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.done[d] = true
		if response.StatusCode == http.StatusForbidden {
			w.refused[d] = true
		}
	}
	return response, err
}

// deedOf reads a request as the API server's authorizer does
// (https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb).
func deedOf(r *http.Request) (deed, bool) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = "."+parts[1], parts[3:]
	default:
		return "", false
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	what := parts[0] + group
	if len(parts) > 2 {
		what += "/" + parts[2]
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete", http.MethodGet: "get"}[r.Method]
	if verb == "get" && len(parts) == 1 {
		verb = "list"
		if r.URL.Query().Get("watch") != "" {
			verb = "watch"
		}
	}
	return deed(verb + " " + what), true
}

// rare are the rights whose use takes longer than a test, with the reason why they are needed.
var rare = map[deed]string{
	"delete khjobs.comcast.github.io":         "jobs are deleted five minutes after their end at the earliest",
	"list nodes":                              "the node of a pod that nobody takes up is looked at after a minute",
	"patch events.events.k8s.io":              "an Event that comes again is a series after minutes",
	"get khstates.comcast.github.io":          "read again where another replica has written before",
	"get khchecks.comcast.github.io":          "read again where another replica has written before",
	"get khjobs.comcast.github.io":            "read again where another replica has written before",
	"get healthchecks.kuberhealthy.github.io": "read again where another replica has written before",
	"get checks.maek.dev":                     "read again where somebody else has written before",
	"update checkrecords.maek.dev":            "a record is written again minutes after it was",
	"delete checkrecords.maek.dev":            "where a check was replaced by another of its name",
}

// testRights runs the operator as its ServiceAccount through the life of checks, and holds that nothing is
// refused to it, and that it is granted nothing that it does not use.
func testRights(t *testing.T) {
	c := newClient(t)
	seen := &watcher{done: map[deed]bool{}, refused: map[deed]bool{}}
	stop, address := operate(t, seen)
	token := administrator(t, c)

	spec := runtime.RawExtension{Raw: []byte(`{"containers":[{"name":"main","image":"example.com/check:1"}]}`)}
	check := &khv1.KuberhealthyCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "fine"},
		Spec:       khv1.CheckSpec{RunInterval: "1h", Timeout: "1m", PodSpec: spec},
	}
	crashing := check.DeepCopy()
	crashing.Name = "crashing"
	job := &khv1.KuberhealthyJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "once"}, Spec: khv1.JobSpec{Timeout: "1m", PodSpec: spec},
	}
	hanging := &khv2.HealthCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "hanging", Finalizers: []string{"kuberhealthy.io/healthcheck"}},
		Spec:       khv2.HealthCheckSpec{RunInterval: "1h", Timeout: "2s", PodSpec: khv2.CheckPodSpec{Spec: spec}},
	}
	// One that fails, as nobody answers, and one whose authorities are nowhere.
	asking := &v1alpha1.Check{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "asking"},
		Spec: v1alpha1.CheckSpec{
			PeriodSeconds: 1, FailureThreshold: 1,
			CheckAction: v1alpha1.CheckAction{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}},
			Target:      &v1alpha1.CheckTarget{Service: &v1alpha1.ServiceTarget{Name: "nowhere"}},
		},
	}
	trusting := asking.DeepCopy()
	trusting.Name = "trusting"
	trusting.Spec.HTTPGet.Scheme = corev1.URISchemeHTTPS
	// It is never asked: the authorities are missing.
	trusting.Spec.Target = &v1alpha1.CheckTarget{Host: "192.0.2.1"}
	trusting.Spec.TLSConfig = &v1alpha1.CheckTLSConfig{CABundle: &corev1.ConfigMapKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "authorities"}, Key: "ca.crt",
	}}
	policy := &v1alpha1.CheckPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "rights"}, Spec: v1alpha1.CheckPolicySpec{Hosts: []v1alpha1.PolicyHost{"192.0.2.1"}},
	}
	for _, o := range []client.Object{check, crashing, job, hanging, policy, asking, trusting} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	// The kubelet: one checker reports, one crashes, one hangs.
	for _, name := range []string{"fine", "once"} {
		pod := podOf(t, c, name)
		phase(t, c, pod, corev1.PodRunning)
		report(t, address, pod.Labels[khv1.LabelRunID])
		phase(t, c, pod, corev1.PodSucceeded)
	}
	phase(t, c, podOf(t, c, "crashing"), corev1.PodFailed)
	phase(t, c, podOf(t, c, "hanging"), corev1.PodRunning)
	eventually(t, "the pod that hangs is deleted", func(context.Context) bool { return seen.saw("delete pods") })
	// People ask for a run, for events and for a log.
	ask(t, http.MethodPost, address, "/api/run?namespace="+namespace+"&healthcheck=fine", token)
	ask(t, http.MethodGet, address, "/api/events?namespace="+namespace+"&healthcheck=fine", token)
	ask(t, http.MethodGet, address, "/api/logs?format=text&namespace="+namespace+"&healthcheck=fine&pod="+podOf(t, c, "fine").Name, token)
	if err := c.Delete(t.Context(), hanging); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), crashing); err != nil {
		t.Fatal(err)
	}
	granted := grantedTo(t, c)
	// The Lease is given back at the end.
	eventually(t, "all rights but one are used", func(context.Context) bool { return len(seen.unused(granted)) <= 1 })
	stop()

	seen.mu.Lock()
	for d := range seen.refused {
		t.Errorf("refused: %s", d)
	}
	seen.mu.Unlock()
	if unused := seen.unused(granted); len(unused) > 0 {
		t.Errorf("rights that are not used: %q", unused)
	}
}

func (w *watcher) saw(d deed) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done[d]
}

// unused are the rights that were not used and are not rare. What is watched may have to be listed first,
// where the API server does not stream lists
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists).
func (w *watcher) unused(granted []deed) []deed {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(granted), func(d deed) bool {
		_, excused := rare[d]
		what, list := strings.CutPrefix(string(d), "list ")
		return w.done[d] || excused || list && w.done[deed("watch "+what)]
	})
}

// operate runs the operator as it is installed, but for its incidents' rights: what rules read depends on
// the cluster.
func operate(t *testing.T, seen *watcher) (stop func(), address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	_ = listener.Close() // the operator opens it again
	config := rest.CopyConfig(admin)
	config.QPS = -1
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":maek-operator",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return watched{seen, next} })
	options := operator.Options{
		Config: config, Namespace: namespace, Pod: "maek-operator-0", Version: "test", Listen: address, Clock: clock.RealClock{},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Rules: rules.All(),
		Getenv: func(name string) string { return map[string]string{"POD_NAMESPACE": namespace}[name] },
	}
	op, err := operator.New(options)
	if err != nil {
		t.Fatal(err)
	}
	page := statuspage.New(statuspage.Options{
		Board: op, Standing: op.Standing, Reporter: op, Runner: op, Cluster: statuspage.NewCluster(op.Core()),
		Access: statuspage.NewAccess(authenticationclient.NewForConfigOrDie(config).TokenReviews(),
			authorizationclient.NewForConfigOrDie(config).SubjectAccessReviews(), options.Clock),
		Settings: func() statuspage.Settings { return statuspage.Settings{Compatibility: true} },
		Metrics:  op.Metrics(), Clock: options.Clock, Log: options.Log,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- op.Run(ctx, page.Server) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the operator ended: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop, address
}

// grantedTo are the rights of the operator but those of its incidents.
func grantedTo(t *testing.T, c client.Client) []deed {
	t.Helper()
	var granted []rbacv1.PolicyRule
	for _, name := range []string{"maek-operator-checks", "maek-operator-targets", "maek-operator-callers"} {
		var role rbacv1.ClusterRole
		if err := c.Get(t.Context(), client.ObjectKey{Name: name}, &role); err != nil {
			t.Fatal(err)
		}
		granted = append(granted, role.Rules...)
	}
	var role rbacv1.Role
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "maek-operator"}, &role); err != nil {
		t.Fatal(err)
	}
	all := map[deed]bool{}
	for _, r := range append(granted, role.Rules...) {
		for _, resource := range r.Resources {
			what, sub, _ := strings.Cut(resource, "/")
			if r.APIGroups[0] != "" {
				what += "." + r.APIGroups[0]
			}
			if sub != "" {
				what += "/" + sub
			}
			for _, verb := range r.Verbs {
				all[deed(verb+" "+what)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// administrator returns the token of one who may do everything.
func administrator(t *testing.T, c client.Client) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "admin"}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test-admin"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account.Name}},
	}
	for _, o := range []client.Object{account, binding} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	request := &authenticationv1.TokenRequest{}
	if err := c.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// podOf waits for the newest pod of a check.
func podOf(t *testing.T, c client.Client, check string) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	eventually(t, "there is a pod of "+check, func(ctx context.Context) bool {
		var pods corev1.PodList
		if err := c.List(ctx, &pods, client.InNamespace(namespace), client.HasLabels{v1alpha1.LabelRunOf}); err != nil {
			return false
		}
		for i := range pods.Items {
			owner := metav1.GetControllerOf(&pods.Items[i])
			if owner != nil && owner.Name == check && (found == nil || found.CreationTimestamp.Before(&pods.Items[i].CreationTimestamp)) {
				found = &pods.Items[i]
			}
		}
		return found != nil
	})
	return found
}

func phase(t *testing.T, c client.Client, pod *corev1.Pod, to corev1.PodPhase) {
	t.Helper()
	pod.Status.Phase = to
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	if to == corev1.PodSucceeded {
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: metav1.Now()}}
	} else if to == corev1.PodFailed {
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: metav1.Now()}}
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Image: "example.com/check:1", State: state}}
	if err := c.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
}

func report(t *testing.T, address, run string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/externalCheckStatus", strings.NewReader(`{"OK":true,"Errors":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(kuberhealthy.HeaderRunID, run)
	if status, body := send(t, request); status != http.StatusOK {
		t.Fatalf("a report was answered %d %s", status, body)
	}
}

// ask asks as the bearer of a token. What is answered is not the matter: there are no nodes that have logs.
func ask(t *testing.T, method, address, path, token string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if status, body := send(t, request); status == http.StatusUnauthorized || status == http.StatusForbidden {
		t.Errorf("%s: %d %s", path, status, body)
	}
}

func send(t *testing.T, request *http.Request) (status int, body string) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func eventually(t *testing.T, what string, so func(ctx context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 45*time.Second, true, func(ctx context.Context) (bool, error) { return so(ctx), nil })
	if err != nil {
		t.Error(fmt.Errorf("not yet: %s: %w", what, err))
	}
}
