package incidents

import (
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

func TestAnIncidentWhoseKindBecomesForbiddenStaysOpen(t *testing.T) {
	environment := newEnvironment()
	c := clientOf(t, apiserver.Start(t, environment))
	user, err := environment.AddUser(envtest.User{Name: "operator"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reads-all"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"maek.dev"}, Resources: []string{"incidents", "incidents/status"}, Verbs: []string{"*"}},
		{NonResourceURLs: []string{"/readyz"}, Verbs: []string{"get"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "operator"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "operator"}},
	}
	for _, o := range []client.Object{role, binding} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	d := diagnose(t, user.Config())
	n := sickNode(t, c, "forbidden", "kubelet has disk pressure")
	awaitPhase(t, c, n.Name, v1alpha1.IncidentOpen)

	// Everything but nodes may be read.
	role.Rules[0] = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "events", "namespaces"}, Verbs: []string{"get", "list", "watch"}}
	if err := c.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	eventually(t, "waiting until the incident says that it cannot be verified", func(ctx context.Context) (bool, error) {
		i, err := about(ctx, c, n.Name)
		return i != nil && strings.Contains(i.Status.Unverified, "nodes"), err
	})
	// Its end is not seen.
	setPressure(t, c, n, corev1.ConditionFalse, "")
	if v, ok := d.value(t, "maek_snapshot_kind_unreadable", "kind=nodes,state=forbidden"); !ok || v != 1 {
		t.Errorf("metric maek_snapshot_kind_unreadable of nodes is %v, %v", v, ok)
	}
	before, _ := d.value(t, "maek_diagnosis_timestamp_seconds", "")
	eventually(t, "waiting for another diagnosis", func(context.Context) (bool, error) {
		at, _ := d.value(t, "maek_diagnosis_timestamp_seconds", "")
		return at > before+5, nil
	})
	if i, err := about(t.Context(), c, n.Name); err != nil || i == nil || i.Status.Phase != v1alpha1.IncidentOpen {
		t.Errorf("what cannot be looked at was closed: %+v, %v", i, err)
	}
	role.Rules[0] = rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}}
	if err := c.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	closed := awaitPhase(t, c, n.Name, v1alpha1.IncidentClosed)
	if closed.Status.Unverified != "" {
		t.Errorf("closed, and unverified: %s", closed.Status.Unverified)
	}
}

func TestAnIncidentOutlivesAnOutageOfTheAPIServer(t *testing.T) {
	c := clientOf(t, admin)
	line := &cable{}
	cfg := rest.CopyConfig(admin)
	cfg.Dial = line.dial
	d := diagnose(t, cfg)
	n := sickNode(t, c, "outlives", "kubelet has disk pressure")
	before := awaitPhase(t, c, n.Name, v1alpha1.IncidentOpen)

	line.cut()
	eventually(t, "waiting until the outage is seen", func(context.Context) (bool, error) {
		v, _ := d.value(t, "maek_snapshot_kind_unreadable", "kind=nodes,state=failed")
		return v == 1, nil
	})
	if v, _ := d.value(t, "maek_cluster_verdict", "verdict=Healthy"); v != 0 {
		t.Error("a cluster whose API server is down is called healthy")
	}
	line.mend()
	eventually(t, "waiting until all is seen again", func(ctx context.Context) (bool, error) {
		_, unreadable := d.value(t, "maek_snapshot_kind_unreadable", "kind=nodes,state=failed")
		i, err := about(ctx, c, n.Name)
		return !unreadable && i != nil && i.Status.Unverified == "", err
	})
	after, err := about(t.Context(), c, n.Name)
	if err != nil {
		t.Fatal(err)
	}
	if after.UID != before.UID || after.Status.Phase != v1alpha1.IncidentOpen || !after.Status.OpenedAt.Equal(&before.Status.OpenedAt) {
		t.Errorf("after the outage %+v, and before %+v", after.Status, before.Status)
	}
	setPressure(t, c, latest(t, c, n), corev1.ConditionFalse, "")
	awaitPhase(t, c, n.Name, v1alpha1.IncidentClosed)
}

// cable leads to the API server. While it is cut nobody gets a connection, as while the API server
// restarts.
type cable struct {
	mu    sync.Mutex
	off   bool
	conns []net.Conn
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func (c *cable) mend() {
	c.mu.Lock()
	c.off = false
	c.mu.Unlock()
}

func latest(t *testing.T, c client.Client, n *corev1.Node) *corev1.Node {
	t.Helper()
	now := &corev1.Node{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(n), now); err != nil {
		t.Fatal(err)
	}
	return now
}

func TestWithoutTheKindThereAreMetricsAlone(t *testing.T) {
	cfg := apiserver.Start(t, &envtest.Environment{})
	c := clientOf(t, cfg)
	d := diagnose(t, cfg)
	sickNode(t, c, "untold", "kubelet has disk pressure")
	eventually(t, "waiting for the incident's metric", func(context.Context) (bool, error) {
		v, _ := d.value(t, "maek_incidents", "code=NodeDiskPressure,phase=Open,severity=warning")
		return v == 1, nil
	})
	before, _ := d.value(t, "maek_diagnosis_timestamp_seconds", "")
	eventually(t, "waiting until it has diagnosed for a while", func(context.Context) (bool, error) {
		at, _ := d.value(t, "maek_diagnosis_timestamp_seconds", "")
		return at > before+float64(5*time.Second/time.Second), nil
	})
	d.stop()
	if n := strings.Count(d.log.String(), "is not installed"); n != 1 {
		t.Errorf("it was said %d times that the kind is missing:\n%s", n, d.log)
	}
	var all v1alpha1.IncidentList
	if err := c.List(t.Context(), &all); !apierrors.IsNotFound(err) && err == nil {
		t.Errorf("there are Incidents: %v", all.Items)
	}
}
