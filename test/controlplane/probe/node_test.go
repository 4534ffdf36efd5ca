//go:build linux

package probe

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/agent"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// listenHere answers at an address, and gives its port.
func listenHere(t *testing.T, address string) int32 {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(number)
}

// hostPod makes a pod of a DaemonSet that runs in its node's own network.
func hostPod(t *testing.T, namespace, name, node, ip string, labels map[string]string, c corev1.Container) {
	t.Helper()
	c.Image = "example.com/app:1"
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "ds", UID: "ds", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: node, HostNetwork: true, Containers: []corev1.Container{c}},
	}
	if err := cluster.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: c.Name, Started: new(true), Ready: true, ContainerID: "containerd://" + c.Name, Image: c.Image,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-time.Hour))}},
		}},
	}
	if err := cluster.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// startAgent runs a real agent as that of a node, and gives where it listens.
func startAgent(t *testing.T, node string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	_ = free.Close()
	_, text, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	namespace(t, "agents")
	hostPod(t, "agents", "maek-agent", node, loopback, agents.Labels(), corev1.Container{Name: "agent"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	// Folders that are made before the cleanup below are removed after it.
	options := agent.Options{
		Version: "test", Root: t.TempDir(), Node: node, Namespace: "agents", StatePath: filepath.Join(t.TempDir(), "state"),
		SocketPath: filepath.Join(t.TempDir(), "s"), Port: uint16(port), Config: environment.Config, Clock: clock.RealClock{},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	go func() { ended <- agent.Run(ctx, options) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the agent: %v", err)
		}
	})
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, soon, true, func(ctx context.Context) (bool, error) {
		n := &corev1.Node{}
		err := cluster.Get(ctx, client.ObjectKey{Name: node}, n)
		return err == nil && n.Annotations[monitor.KeyAnnotation] != "", nil
	})
	if err != nil {
		t.Fatalf("waiting for the agent's key: %v", err)
	}
	return at
}

// TestProbesAreAskedFromTheNode has a real agent ask pods of its node beside a port-forward, and has the two see
// different things.
func TestProbesAreAskedFromTheNode(t *testing.T) {
	own := ownAddress(t)
	if own == loopback {
		t.Skip("NOT RUN: this machine has no address but loopback, which agents do not ask")
	}
	everywhere, addressAlone := listenHere(t, "0.0.0.0"), listenHere(t, own)
	inside := listenHere(t, loopback)
	at := func(port int32) string { return net.JoinHostPort(loopback, strconv.Itoa(int(port))) }
	k := &kubelet{ports: map[int32]string{everywhere: at(everywhere), inside: at(inside)}}
	k.start(t, "probed")
	k.ports[monitor.Port] = startAgent(t, "probed")
	namespace(t, "probed")

	for name, tc := range map[string]struct {
		port int32
		args []string
		// wantNow are the answers, in their order.
		wantNow     string
		wantDiffers string
		wantCode    exit.Code
	}{
		"both-see-it":     {everywhere, nil, "node success, port-forward success", "", exit.OK},
		"node-alone":      {addressAlone, nil, "node success, port-forward failure", "answers its node and not a port-forward", exit.OK},
		"localhost-alone": {inside, nil, "node failure, port-forward success", "listens on 127.0.0.1 alone", exit.Incidents},
		"by-node":         {inside, []string{"--ask", "node"}, "node failure", "", exit.Incidents},
		"by-forward":      {inside, []string{"--ask", "forward"}, "port-forward success", "", exit.OK},
	} {
		t.Run(name, func(t *testing.T) {
			hostPod(t, "probed", name, "probed", own, nil, readiness("web", get("/", int(tc.port))))
			var out, errOut output
			args := append([]string{"probe", name, "-n", "probed", "-o", "json", "--kubeconfig", apiserver.Kubeconfig(t, environment, "admin-"+name, "system:masters")}, tc.args...)
			code := maek(t.Context(), &out, &errOut, args...)
			var doc struct {
				Pods []struct {
					Containers []struct {
						Probes []struct {
							Now []struct {
								From    string
								Kubelet struct{ Result string }
							}
							NotAsked, NotFromNode, Differs string
						}
					}
				}
			}
			if err := json.Unmarshal([]byte(out.String()), &doc); err != nil {
				t.Fatalf("%v of %q, %s", err, out.String(), errOut.String())
			}
			got := doc.Pods[0].Containers[0].Probes[0]
			var now []string
			for _, a := range got.Now {
				now = append(now, a.From+" "+a.Kubelet.Result)
			}
			if strings.Join(now, ", ") != tc.wantNow || !strings.Contains(got.Differs, tc.wantDiffers) || (got.Differs == "") != (tc.wantDiffers == "") || code != tc.wantCode {
				t.Errorf("exit code %d: %+v", code, got)
			}
		})
	}
	t.Run("who-may-not", func(t *testing.T) {
		hostPod(t, "probed", "plain", "probed", own, nil, readiness("web", get("/", int(everywhere))))
		mayForward(t, "sees-pods")
		var out, errOut output
		maek(t.Context(), &out, &errOut, "probe", "plain", "-n", "probed", "--kubeconfig", apiserver.Kubeconfig(t, environment, "sees-pods"))
		if text := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(text, "port-forward: a success") || !strings.Contains(text, "needs the right to post the non-resource URL "+monitor.ProbePath) {
			t.Errorf("%s%s", out.String(), errOut.String())
		}
	})
}

// mayForward lets a user read pods and nodes, and forward ports.
func mayForward(t *testing.T, user string) {
	t.Helper()
	for _, o := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods", "nodes"}, Verbs: []string{"get", "list"}},
			{APIGroups: []string{""}, Resources: []string{"pods/portforward"}, Verbs: []string{"create", "get"}},
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		},
	} {
		if err := cluster.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}
