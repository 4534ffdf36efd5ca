package statuspage

import (
	"context"
	"errors"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/statuspage"
)

const namespace = "statuspage"

// as returns a client with a token, and the token, of a ServiceAccount made for the test. The namespace is
// made with the first.
func as(t *testing.T, name string) (*kubernetes.Clientset, string) {
	t.Helper()
	ctx, owner := t.Context(), client(t, admin)
	if _, err := owner.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if _, err := owner.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	answer, err := owner.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(admin)
	config.BearerToken = answer.Status.Token
	return client(t, config), answer.Status.Token
}

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// grant gives a ServiceAccount a ClusterRole of that name with rules, or one that is there where none are given.
func grant(t *testing.T, account, role string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRoleBinding {
	t.Helper()
	ctx, owner := t.Context(), client(t, admin)
	if len(rules) > 0 {
		if _, err := owner.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role}, Rules: rules}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	binding, err := owner.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account + "-" + role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return binding
}

var (
	runNow = statuspage.Deed{Resource: &authorizationv1.ResourceAttributes{
		Namespace: namespace, Name: "dns", Verb: "update", Group: "kuberhealthy.github.io", Resource: "healthchecks",
	}}
	scrape = statuspage.Deed{Path: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"}}
	logs   = statuspage.Deed{Resource: &authorizationv1.ResourceAttributes{
		Namespace: namespace, Name: "dns-1", Verb: "get", Resource: "pods", Subresource: "log",
	}}
)

// eventually asks until the answer is the one that is wanted: rights take the API server a moment to see.
// Each try is seconds later by the clock of the cache, so that none is answered from it.
func eventually(t *testing.T, clock *clocktesting.FakePassiveClock, access statuspage.Access, token string, deed statuspage.Deed, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		err := access.Allow(ctx, token, deed)
		if errors.Is(err, want) || err == nil && want == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v, want %v", deed, err, want)
		case <-time.After(20 * time.Millisecond):
		}
		clock.SetTime(clock.Now().Add(11 * time.Second))
	}
}

func TestAccess(t *testing.T) {
	operator, _ := as(t, "operator")
	grant(t, "operator", "system:auth-delegator")
	_, token := as(t, "admin")
	_, nobody := as(t, "nobody")
	binding := grant(t, "admin", "run-and-scrape",
		rbacv1.PolicyRule{APIGroups: []string{"kuberhealthy.github.io"}, Resources: []string{"healthchecks"}, Verbs: []string{"update"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}},
	)
	clock := clocktesting.NewFakePassiveClock(time.Now())
	access := statuspage.NewAccess(operator.AuthenticationV1().TokenReviews(), operator.AuthorizationV1().SubjectAccessReviews(), clock)

	for _, deed := range []statuspage.Deed{runNow, scrape, logs} {
		eventually(t, clock, access, token, deed, nil)
		eventually(t, clock, access, nobody, deed, statuspage.ErrForbidden)
		eventually(t, clock, access, "stolen", deed, statuspage.ErrUnknownToken)
		eventually(t, clock, access, "", deed, statuspage.ErrUnknownToken)
	}
	other := *runNow.Resource
	other.Verb = "delete"
	if err := access.Allow(t.Context(), token, statuspage.Deed{Resource: &other}); !errors.Is(err, statuspage.ErrForbidden) {
		t.Errorf("another deed: %v", err)
	}

	// What is taken away is so after seconds, and until then nothing is asked.
	if err := client(t, admin).RbacV1().ClusterRoleBindings().Delete(t.Context(), binding.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := access.Allow(t.Context(), token, runNow); err != nil {
		t.Errorf("the answer was not kept: %v", err)
	}
	eventually(t, clock, access, token, runNow, statuspage.ErrForbidden)
}

// TestAccessThatMayNotAsk is about an operator without its own rights: that is nobody's fault who asks.
func TestAccessThatMayNotAsk(t *testing.T) {
	poor, _ := as(t, "poor")
	_, token := as(t, "asking")
	access := statuspage.NewAccess(poor.AuthenticationV1().TokenReviews(), poor.AuthorizationV1().SubjectAccessReviews(), clocktesting.NewFakePassiveClock(time.Now()))
	err := access.Allow(t.Context(), token, scrape)
	if !apierrors.IsForbidden(err) || errors.Is(err, statuspage.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestCluster(t *testing.T) {
	operator, _ := as(t, "reader")
	grant(t, "reader", "pods-events-logs",
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "pods/log"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"list"}},
	)
	ctx, owner := t.Context(), client(t, admin)
	regarding := func(kind string) corev1.ObjectReference {
		return corev1.ObjectReference{APIVersion: string(kuberhealthy.V3), Kind: kind, Namespace: namespace, Name: "dns"}
	}
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for i, kind := range []string{"HealthCheck", "Pod", "HealthCheck"} {
		// The newest first: the answer is in order of time.
		if _, err := owner.EventsV1().Events(namespace).Create(ctx, &eventsv1.Event{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "dns-", Namespace: namespace},
			EventTime:  metav1.NewMicroTime(noon.Add(-time.Duration(i) * time.Minute)),
			Regarding:  regarding(kind), Reason: "CheckReported", Action: "Report", Type: "Normal",
			ReportingController: "maek", ReportingInstance: "maek-0", Note: kind,
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := owner.CoreV1().Events(namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: "dns-", Namespace: namespace},
		InvolvedObject: regarding("HealthCheck"), Reason: "PodCreated", Type: "Normal", Message: "older API",
		LastTimestamp: metav1.NewTime(noon.Add(-30 * time.Second)),
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	cluster := statuspage.NewCluster(operator.CoreV1())
	events := listed(t, cluster)
	want := []time.Duration{-2 * time.Minute, -30 * time.Second, 0}
	if len(events) != len(want) {
		t.Fatalf("there are %d events", len(events))
	}
	for i, offset := range want {
		at := events[i].EventTime.Time
		if at.IsZero() {
			at = events[i].LastTimestamp.Time
		}
		if !at.Equal(noon.Add(offset)) {
			t.Errorf("event %d is of %v", i, at)
		}
	}
	if _, err := cluster.Pod(ctx, types.NamespacedName{Namespace: namespace, Name: "gone"}); !apierrors.IsNotFound(err) {
		t.Errorf("a pod that is not: %v", err)
	}
	if _, err := cluster.Log(ctx, types.NamespacedName{Namespace: namespace, Name: "gone"}, corev1.PodLogOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the log of a pod that is not: %v", err)
	}
}

// listed lists until the rights are there.
func listed(t *testing.T, cluster statuspage.Cluster) []corev1.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	check := kuberhealthy.Check{API: kuberhealthy.V3, Kind: "HealthCheck", NamespacedName: types.NamespacedName{Namespace: namespace, Name: "dns"}}
	for {
		events, err := cluster.Events(ctx, check)
		if err == nil {
			return events
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
