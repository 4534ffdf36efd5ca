package cluster

import (
	"context"
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/monitor"
)

// memory is a store that counts what is written.
type memory struct {
	kept   map[string][]byte
	writes int
}

func (m *memory) Load(name string) ([]byte, error) {
	if data, ok := m.kept[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Save(name string, data []byte) error {
	m.kept[name] = data
	m.writes++
	return nil
}

func newView(t *testing.T, store monitor.Store) *View {
	t.Helper()
	v, err := New(Options{Node: "w1", Namespace: "maek-system", Store: store, Now: clock.RealClock{}.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func node(name, address, cidr, key string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: "uid-1", Labels: map[string]string{corev1.LabelTopologyZone: "a"},
			Annotations: map[string]string{monitor.KeyAnnotation: key, flannelPrefix + "backend-type": "vxlan", "other": "x"},
		},
		Spec: corev1.NodeSpec{PodCIDRs: []string{cidr}},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Unix(1000, 0)}},
			Images:     []corev1.ContainerImage{{Names: []string{"large"}}},
		},
	}
}

func pod(name, node string, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "maek-system", Name: name}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase}}
}

// learn tells a view what the API server would.
func learn(t *testing.T, v *View) {
	t.Helper()
	yes, no := true, false
	for _, err := range []error{
		v.nodes.Replace([]any{node("w1", "10.0.0.1", "10.244.1.0/24", "sha256:1"), node("w2", "10.0.0.2", "10.244.2.0/24", "sha256:2"), node("w3", "fd00::3", "rubbish", "")}, "1"),
		v.pods.Replace([]any{pod("a", "w1", corev1.PodRunning), pod("b", "w2", corev1.PodRunning), pod("c", "w3", corev1.PodPending)}, "1"),
		v.services["kube-dns"].Add(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns"},
			Spec:       corev1.ServiceSpec{ClusterIPs: []string{"10.96.0.10"}, Ports: []corev1.ServicePort{{Protocol: "UDP", Port: 53}}},
		}),
		v.endpoints["kube-dns"].Add(&discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns-x"},
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.244.2.7"}, NodeName: new("w2"), Conditions: discoveryv1.EndpointConditions{Ready: &yes}},
				{Addresses: []string{"10.244.1.7"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			},
			Ports: []discoveryv1.EndpointPort{{Name: new("dns"), Port: new(int32(53))}, {Name: new("dns-tcp"), Port: new(int32(53))}, {Name: new("metrics"), Port: new(int32(9153))}},
		}),
		v.authority.Add(&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: authority.Namespace, Name: authority.Name}, Data: map[string]string{"client-ca-file": "PEM"},
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

var wantPeers = []peer.Peer{
	{Node: "w2", UID: "uid-1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.2.0/24")}, Key: "sha256:2", Zone: "a", Expected: true},
	{Node: "w3", UID: "uid-1", Addresses: []netip.Addr{netip.MustParseAddr("fd00::3")}, Zone: "a"},
}

var byValue = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

// TestTheViewOutlivesTheAPIServer starts an agent from what another left on disk.
func TestTheViewOutlivesTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{kept: map[string][]byte{}}
		v := newView(t, store)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			v.Run(ctx)
		}()
		learn(t, v)
		<-time.After(2 * coalesce)
		synctest.Wait()
		if store.writes != 1 {
			t.Errorf("%d writes for changes at one moment, want 1", store.writes)
		}
		learn(t, v)
		<-time.After(2 * coalesce)
		synctest.Wait()
		if store.writes != 1 {
			t.Errorf("%d writes after nothing changed, want 1", store.writes)
		}
		// The last change comes at the moment of the end.
		if err := v.nodes.Delete(node("w3", "", "", "")); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-done
		if store.writes != 2 {
			t.Errorf("%d writes in all, want 2", store.writes)
		}

		later := newView(t, store)
		if diff := cmp.Diff(v.Peers(), later.Peers(), byValue); diff != "" {
			t.Errorf("peers after a restart (-before +after):\n%s", diff)
		}
		if got := later.Self(); got.Key != "sha256:1" || !got.Expected {
			t.Errorf("itself after a restart: %+v", got)
		}
		if later.ClientCA() != "PEM" {
			t.Errorf("the client authority after a restart: %q", later.ClientCA())
		}
		want := []Endpoint{{At: netip.MustParseAddrPort("10.244.2.7:53"), Node: "w2"}}
		if diff := cmp.Diff(want, later.Endpoints("kube-dns"), byValue); diff != "" {
			t.Errorf("endpoints after a restart (-want +got):\n%s", diff)
		}
	})
}

func TestPeers(t *testing.T) {
	v := newView(t, &memory{kept: map[string][]byte{}})
	if got := v.Self(); got.Node != "w1" {
		t.Errorf("before anything is known it is %+v", got)
	}
	learn(t, v)
	if diff := cmp.Diff(wantPeers, v.Peers(), byValue); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
	// The key of a machine made anew is taken, and a pod that goes is not expected to answer.
	if err := v.nodes.Update(node("w2", "10.0.0.2", "10.244.2.0/24", "sha256:new")); err != nil {
		t.Fatal(err)
	}
	if err := v.pods.Delete(pod("b", "w2", corev1.PodRunning)); err != nil {
		t.Fatal(err)
	}
	if got := v.Peers()[0]; got.Key != "sha256:new" || got.Expected {
		t.Errorf("after its key and pod changed: %+v", got)
	}
}

func TestEvidence(t *testing.T) {
	v := newView(t, &memory{kept: map[string][]byte{}})
	learn(t, v)
	m := v.Monitor()
	observed, err := m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range observed {
		fits := false
		for _, k := range m.Keys {
			fits = fits || e.Key.Fits(k.Pattern)
		}
		if !fits {
			t.Errorf("key %s is not among its own", e.Key)
		}
		if strings.HasPrefix(string(e.Key), "cluster/node/w2/") || !strings.HasPrefix(string(e.Key), "cluster/node/") {
			got[string(e.Key)] = e.Value
		}
	}
	want := map[string]string{
		"cluster/node/w2/uid": "uid-1", "cluster/node/w2/internal-ip": "10.0.0.2", "cluster/node/w2/pod-cidr": "10.244.2.0/24",
		"cluster/node/w2/ready": "True", "cluster/node/w2/agent": "true", "cluster/node/w2/agent-key": "sha256:2",
		"cluster/node/w2/zone": "a", "cluster/node/w2/control-plane": "false", "cluster/node/w2/unschedulable": "false",
		"cluster/node/w2/deleting": "false", "cluster/node/w2/flannel-backend-type": "vxlan",
		"cluster/service/kube-dns/address": "10.96.0.10", "cluster/service/kube-dns/ports": "UDP/53", "cluster/service/kube-dns/endpoints": "10.244.2.7:53",
		"cluster/api": "not asked",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	if err := v.nodes.Delete(node("w2", "", "", "")); err != nil {
		t.Fatal(err)
	}
	observed, err = m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range observed {
		if strings.HasPrefix(string(e.Key), "cluster/node/w2/") {
			t.Errorf("%s is told after the node went", e.Key)
		}
	}
}

func TestWhatIsKeptAndCannotBeReadIsLeftAside(t *testing.T) {
	for name, kept := range map[string]string{"rubbish": "\x00\xff", "cut short": `{"nodes":{"w2":`, "of another form": `{"nodes":[1]}`, "empty": ""} {
		t.Run(name, func(t *testing.T) {
			v := newView(t, &memory{kept: map[string][]byte{stored: []byte(kept)}})
			if len(v.Peers()) != 0 {
				t.Errorf("peers %v", v.Peers())
			}
			learn(t, v)
			if diff := cmp.Diff(wantPeers, v.Peers(), byValue); diff != "" {
				t.Errorf("peers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThousandsOfNodesCostLittle(t *testing.T) {
	v := newView(t, &memory{kept: map[string][]byte{}})
	learn(t, v)
	first, err := v.Monitor().Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	perLook := testing.AllocsPerRun(100, func() {
		if len(v.observe()) != len(first) {
			t.Error("other evidence though nothing changed")
		}
	})
	if perLook > 5 {
		t.Errorf("a look after which nothing changed makes %v values anew", perLook)
	}
}
