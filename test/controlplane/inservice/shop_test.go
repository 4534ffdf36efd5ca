package inservice

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/due"
	"github.com/maek-dev/maek/internal/operator/check/inservice"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

const (
	operatorNamespace = "maek-system"
	operatorAccount   = "maek-operator"
	roleName          = "maek-check-in-service"
)

// make1 makes an object, unless it is there already.
func make1(t *testing.T, obj client.Object) {
	t.Helper()
	if err := cluster.Create(t.Context(), obj); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// rights gives the operator what it has everywhere: to read, and its own Leases.
func rights(t *testing.T) {
	t.Helper()
	subject := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: operatorNamespace, Name: operatorAccount}}
	make1(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}})
	make1(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: operatorAccount}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "services", "namespaces"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"maek.dev"}, Resources: []string{"checks", "checkpolicies"}, Verbs: []string{"get", "list", "watch"}},
	}})
	// What it may of nodes, and of the Leases of those who maintain them, is to list and watch them.
	for name, group := range map[string]string{"nodes": "", "leases": "coordination.k8s.io"} {
		make1(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: operatorAccount + "-" + name}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{group}, Resources: []string{name}, Verbs: []string{"list", "watch"}},
		}})
		make1(t, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: operatorAccount + "-" + name}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: operatorAccount + "-" + name},
		})
	}
	make1(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: operatorAccount}, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: operatorAccount},
	})
	make1(t, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: operatorAccount}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update"}},
	}})
	make1(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: operatorAccount}, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: operatorAccount},
	})
	make1(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: roleName}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods/status"}, Verbs: []string{"patch"}},
	}})
}

// shop is a namespace with pods behind a Service, a check of them and a policy.
type shop struct {
	t         *testing.T
	namespace string
	check     *v1alpha1.Check
	policy    *v1alpha1.CheckPolicy
	keepers   []*keeper

	mu     sync.Mutex
	broken map[string]bool
}

// newShop makes pods that have been there for a while; bound lets the operator patch them.
func newShop(t *testing.T, pods int, bound bool) *shop {
	t.Helper()
	rights(t)
	s := &shop{t: t, broken: map[string]bool{}}
	// The budget is the cluster's, and what another test took out is none of this one's.
	ledger := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: inservice.LeaseName}}
	if err := cluster.Delete(t.Context(), ledger); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}
	make1(t, namespace)
	s.namespace = namespace.Name
	if bound {
		s.bind()
	}
	s.policy = &v1alpha1.CheckPolicy{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}, Spec: v1alpha1.CheckPolicySpec{
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.namespace}},
		TakeOutOfService:  &v1alpha1.TakeOutOfServicePolicy{Mode: v1alpha1.ModeEnforce, SecondsApart: 1, MaxFailingPercent: 60},
	}}
	make1(t, s.policy)
	s.check = &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "web"}, Spec: v1alpha1.CheckSpec{
		PeriodSeconds: 10,
		CheckAction:   v1alpha1.CheckAction{HTTPGet: &corev1.HTTPGetAction{Path: "/"}},
		Target: &v1alpha1.CheckTarget{Pods: &v1alpha1.PodsTarget{
			Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		}},
		TakeOutOfService: &v1alpha1.TakeOutOfService{Mode: v1alpha1.ModeEnforce},
	}}
	s.check.Spec.HTTPGet.Port.IntVal = 8080
	make1(t, s.check)
	make1(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "web"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}},
	}})
	make1(t, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: s.namespace, Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
	})
	for i := range pods {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.node(i + 1)}}
		make1(t, node)
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if err := cluster.Status().Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		make1(t, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: fmt.Sprintf("web-%d", i+1), Labels: map[string]string{"app": "web"}},
			Spec: corev1.PodSpec{
				NodeName:       s.node(i + 1),
				Containers:     []corev1.Container{{Name: "web", Image: "example.com/web"}},
				ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}},
			},
		})
	}
	s.kubelet()
	return s
}

// node is the name of that of a pod: each has its own.
func (s *shop) node(pod int) string { return fmt.Sprintf("%s-node-%d", s.namespace, pod) }

// bind does what the message tells people to do.
func (s *shop) bind() {
	s.t.Helper()
	make1(s.t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: roleName},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: operatorNamespace, Name: operatorAccount}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
	})
}

func (s *shop) pods() []corev1.Pod {
	s.t.Helper()
	var list corev1.PodList
	if err := cluster.List(s.t.Context(), &list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

func status(p *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	if c := condition(p, kind); c != nil {
		return c.Status
	}
	return ""
}

// gates are the conditions of all pods by name.
func (s *shop) gates() map[string]corev1.ConditionStatus {
	out := map[string]corev1.ConditionStatus{}
	for _, p := range s.pods() {
		out[p.Name] = status(&p, v1alpha1.ReadinessGateInService)
	}
	return out
}

// kubelet writes the conditions of the pods and the endpoints, as a kubelet and the endpoints controller would.
func (s *shop) kubelet() {
	s.t.Helper()
	var endpoints []discoveryv1.Endpoint
	for i, p := range s.pods() {
		want := corev1.ConditionFalse
		if status(&p, v1alpha1.ReadinessGateInService) == corev1.ConditionTrue {
			want = corev1.ConditionTrue
		}
		if status(&p, corev1.PodReady) != want {
			patch := fmt.Sprintf(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":%q},{"type":"example.com/other","status":"False","reason":"Kept"}]}}`, want)
			if err := cluster.Status().Patch(s.t.Context(), &p, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
				s.t.Fatal(err)
			}
		}
		endpoints = append(endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.0.0.%d", i+1)}, Conditions: discoveryv1.EndpointConditions{Ready: new(want == corev1.ConditionTrue)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: s.namespace, Name: p.Name, UID: p.UID},
		})
	}
	var slice discoveryv1.EndpointSlice
	if err := cluster.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "web-1"}, &slice); err != nil {
		s.t.Fatal(err)
	}
	slice.Endpoints = endpoints
	if err := cluster.Update(s.t.Context(), &slice); err != nil {
		s.t.Fatal(err)
	}
}

// mark sets which pods fail.
func (s *shop) mark(broken ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = map[string]bool{}
	for _, name := range broken {
		s.broken[name] = true
	}
}

func (s *shop) result(p plan.Pod, from string, broken map[string]bool) plan.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if broken == nil {
		broken = s.broken
	}
	r := plan.Result{Target: p.Name, Pod: p, From: from, Result: v1alpha1.ResultSuccess}
	if broken[p.Name] {
		r.Result, r.Reason, r.Message = v1alpha1.ResultFailure, "ConnectionRefused", "nobody listens"
	}
	return r
}

// keeper is one replica with its own cache and the operator's rights.
type keeper struct {
	*inservice.Keeper
	clock  *clocktesting.FakeClock
	events *events.FakeRecorder
	stop   context.CancelFunc
	ended  chan error
	// check whose runs it makes; broken are the pods that it finds to fail, nil for the shop's.
	check  *v1alpha1.Check
	broken map[string]bool

	mu   sync.Mutex
	told []v1alpha1.Consequence
}

func (k *keeper) consequences() []v1alpha1.Consequence {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]v1alpha1.Consequence(nil), k.told...)
}

// start starts a replica and stops it with the test.
func (s *shop) start(name string, check *v1alpha1.Check, owns bool, broken map[string]bool) *keeper {
	s.t.Helper()
	config := rest.CopyConfig(admin)
	config.Impersonate.UserName = "system:serviceaccount:" + operatorNamespace + ":" + operatorAccount
	own, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	read, err := cache.New(config, cache.Options{Scheme: cluster.Scheme(), DefaultNamespaces: map[string]cache.Config{s.namespace: {}}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	k := &keeper{
		clock: clocktesting.NewFakeClock(time.Now()), events: events.NewFakeRecorder(10000), stop: stop, ended: make(chan error, 2),
		check: check, broken: broken,
	}
	if len(s.keepers) > 0 {
		k.clock.SetTime(s.keepers[0].clock.Now())
	}
	k.Keeper, err = inservice.New(inservice.Options{
		Reader: read, Informers: read, Client: own, ServiceAccount: types.NamespacedName{Namespace: operatorNamespace, Name: operatorAccount}, Self: name,
		Owns:    func(types.UID) bool { return owns },
		Settled: func() time.Time { return time.Time{} },
		Within: func(windows []v1alpha1.MaintenanceWindow, at time.Time) (bool, error) {
			return due.Within("spec.takeOutOfService.windows", windows, at)
		},
		Confirm: func(_ context.Context, _ *v1alpha1.Check, pods []plan.Pod) ([]plan.Result, error) {
			var out []plan.Result
			for _, from := range []string{"node-a", "node-b"} {
				for _, p := range pods {
					out = append(out, s.result(p, from, k.broken))
				}
			}
			return out, nil
		},
		Tell: func(_ types.UID, done []v1alpha1.Consequence) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.told = append(k.told, done...)
		},
		Events: k.events, Metrics: prometheus.NewRegistry(), Clock: k.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	go func() { k.ended <- read.Start(ctx) }()
	go func() { k.ended <- k.Run(ctx) }()
	s.keepers = append(s.keepers, k)
	s.t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-k.ended; err != nil {
				s.t.Errorf("replica %s ended with: %v", name, err)
			}
		}
	})
	return k
}

// until lets time pass, a second each 20 ms, with a run of the checks every ten seconds, until something is
// so. It returns how much time has passed.
func (s *shop) until(what string, ok func() bool) time.Duration {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	const most = 1500
	for i := range most {
		if ok() {
			return time.Duration(i) * time.Second
		}
		<-tick.C
		s.second(i)
	}
	for _, k := range s.keepers {
		s.t.Logf("a replica tells: %+v", k.consequences())
	}
	s.t.Fatalf("%s: not within %d s of the replicas' time", what, most)
	return 0
}

// second lets one second pass.
func (s *shop) second(i int) {
	s.t.Helper()
	s.kubelet()
	pods := s.pods()
	for _, k := range s.keepers {
		k.clock.Step(time.Second)
		if k.check == nil || i%10 != 9 {
			continue
		}
		var results []plan.Result
		for _, p := range pods {
			results = append(results, s.result(plan.Pod{NamespacedName: client.ObjectKeyFromObject(&p), UID: p.UID}, "", k.broken))
		}
		k.Observe(k.check, k.clock.Now(), results)
	}
}
