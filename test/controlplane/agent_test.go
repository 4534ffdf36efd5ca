//go:build linux

package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/agent"
	"github.com/maek-dev/maek/internal/agent/access"
	"github.com/maek-dev/maek/internal/agent/apiserver"
	"github.com/maek-dev/maek/internal/agent/condition"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

const agentNamespace = "maek-system"

// installAgent applies what install prints, and gives what agents on nodes are given: a token that is
// bound to their pod.
func installAgent(t *testing.T, nodes ...string) (*kubernetes.Clientset, map[string]*rest.Config) {
	t.Helper()
	code, manifests := kubectlMaek(t, t.Context(), "install", "--agent", "--node-conditions", "--image", "example/agent:1")
	if code != exit.OK {
		t.Fatalf("install: exit code %d", code)
	}
	apply(t, manifests)
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*rest.Config{}
	for n, name := range nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tier": "a"}, Annotations: map[string]string{"kept": "yes"}}}
		if node, err = client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = client.CoreV1().Nodes().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
		})
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("127.0.1.%d", n+1)}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
		if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: "agent-" + name, Labels: map[string]string{"app.kubernetes.io/name": "maek", "app.kubernetes.io/component": monitor.Component}},
			Spec:       corev1.PodSpec{NodeName: name, ServiceAccountName: "maek-agent", Containers: []corev1.Container{{Name: "agent", Image: "example/agent:1"}}},
		}
		if pod, err = client.CoreV1().Pods(agentNamespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = client.CoreV1().Pods(agentNamespace).Delete(context.WithoutCancel(t.Context()), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		})
		pod.Status.Phase = corev1.PodRunning
		if _, err := client.CoreV1().Pods(agentNamespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
		}}
		token, err := client.CoreV1().ServiceAccounts(agentNamespace).CreateToken(t.Context(), "maek-agent", request, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out[name] = rest.AnonymousClientConfig(admin)
		out[name].BearerToken = token.Status.Token
	}
	return client, out
}

// TestAnAgentWritesItsOwnNodeOnly tries as one node's agent what a thief of its token would try.
func TestAnAgentWritesItsOwnNodeOnly(t *testing.T) {
	_, configs := installAgent(t, "policy-1", "policy-2")
	own, err := kubernetes.NewForConfig(configs["policy-1"])
	if err != nil {
		t.Fatal(err)
	}
	patch := func(ctx context.Context, node, patch string, kind types.PatchType, subresources ...string) error {
		_, err := own.CoreV1().Nodes().Patch(ctx, node, kind, []byte(patch), metav1.PatchOptions{}, subresources...)
		return err
	}
	key := `{"metadata":{"annotations":{"` + monitor.KeyAnnotation + `":"sha256:1"}}}`
	until(t, "the policy counts", func(ctx context.Context) bool {
		return apierrors.IsInvalid(patch(ctx, "policy-2", key, types.MergePatchType, "status"))
	})
	until(t, "the agent may write its own key", func(ctx context.Context) bool {
		return patch(ctx, "policy-1", key, types.MergePatchType, "status") == nil
	})
	strategic := types.StrategicMergePatchType
	for name, tc := range map[string]struct {
		node, patch string
		kind        types.PatchType
		subresource []string
		// want is a part of the refusal; empty means that it is taken.
		want string
	}{
		"its condition":                  {"policy-1", `{"status":{"conditions":[{"type":"KubeletUnhealthy","status":"True","reason":"X"}]}}`, strategic, []string{"status"}, ""},
		"its condition again":            {"policy-1", `{"status":{"conditions":[{"type":"KubeletUnhealthy","status":"False","reason":"Y"}]}}`, strategic, []string{"status"}, ""},
		"a condition of another's node":  {"policy-2", `{"status":{"conditions":[{"type":"KubeletUnhealthy","status":"True","reason":"X"}]}}`, strategic, []string{"status"}, "own Node only"},
		"the key of another's node":      {"policy-2", key, types.MergePatchType, []string{"status"}, "own Node only"},
		"the kubelet's condition":        {"policy-1", `{"status":{"conditions":[{"type":"Ready","status":"False","reason":"X"}]}}`, strategic, []string{"status"}, "conditions of others"},
		"the kubelet's condition gone":   {"policy-1", `{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}`, strategic, []string{"status"}, "conditions of others"},
		"a condition of its own making":  {"policy-1", `{"status":{"conditions":[{"type":"Haunted","status":"True","reason":"X"}]}}`, strategic, []string{"status"}, "its own conditions only"},
		"an address":                     {"policy-1", `{"status":{"addresses":[{"type":"InternalIP","address":"10.9.9.9"}]}}`, types.MergePatchType, []string{"status"}, "conditions only"},
		"capacity":                       {"policy-1", `{"status":{"capacity":{"cpu":"1k"}}}`, types.MergePatchType, []string{"status"}, "conditions only"},
		"a label":                        {"policy-1", `{"metadata":{"labels":{"tier":"b"}}}`, types.MergePatchType, []string{"status"}, "leaves labels"},
		"an owner that is not there":     {"policy-1", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"x"}]}}`, types.MergePatchType, []string{"status"}, "owners and finalizers alone"},
		"a finalizer":                    {"policy-1", `{"metadata":{"finalizers":["example.com/x"]}}`, types.MergePatchType, []string{"status"}, "owners and finalizers alone"},
		"an image":                       {"policy-1", `{"status":{"images":[{"names":["x:1"],"sizeBytes":1}]}}`, types.MergePatchType, []string{"status"}, "conditions only"},
		"a volume that is attached":      {"policy-1", `{"status":{"volumesAttached":[{"name":"x","devicePath":"x"}]}}`, types.MergePatchType, []string{"status"}, "conditions only"},
		"another annotation":             {"policy-1", `{"metadata":{"annotations":{"kept":"no"}}}`, types.MergePatchType, []string{"status"}, "its key only"},
		"another annotation gone":        {"policy-1", `{"metadata":{"annotations":{"kept":null}}}`, types.MergePatchType, []string{"status"}, "its key only"},
		"a taint":                        {"policy-1", `{"spec":{"unschedulable":true}}`, types.MergePatchType, nil, "forbidden"},
		"the Node through its main door": {"policy-1", key, types.MergePatchType, nil, "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			err := patch(t.Context(), tc.node, tc.patch, tc.kind, tc.subresource...)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v, want one that says %q", err, tc.want)
			}
		})
	}
	event := func(kind, name string) error {
		_, err := own.CoreV1().Events("default").Create(t.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "e"}, InvolvedObject: corev1.ObjectReference{Kind: kind, Name: name}, Reason: "R", Message: "m", Type: "Warning",
		}, metav1.CreateOptions{})
		return err
	}
	if err := event("Node", "policy-1"); err != nil {
		t.Errorf("an event about itself: %v", err)
	}
	if err := event("Node", "policy-2"); err == nil {
		t.Error("an event about another's node was taken")
	}
	if err := event("ConfigMap", "policy-1"); err == nil {
		t.Error("an event about something else was taken")
	}
	for _, secret := range []string{"default", "kube-system", agentNamespace} {
		if _, err := own.CoreV1().Secrets(secret).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("listing Secrets of %s: %v, want forbidden", secret, err)
		}
	}
}

// TestATokenForAgentsIsGoodForNothingElse shows the token that the command line shows agents to an agent's
// guard, and to the API server.
func TestATokenForAgentsIsGoodForNothingElse(t *testing.T) {
	client, configs := installAgent(t, "token-1")
	tokenFor := func(audience string) string {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
		token, err := client.CoreV1().ServiceAccounts(agentNamespace).CreateToken(t.Context(), monitor.ReaderAccount, request, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return token.Status.Token
	}
	reviewer, err := apiserver.New(configs["token-1"], time.Now)
	if err != nil {
		t.Fatal(err)
	}
	guard := access.New(reviewer, func() string { return "" }, clock.RealClock{})
	check := func(path, token string) error {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		_, err := guard.Check(r)
		return err
	}
	token := tokenFor(monitor.Audience)
	if err := check(monitor.ReportsPath, token); err != nil {
		t.Errorf("an agent refuses it: %v", err)
	}
	if err := check("/secrets", token); !errors.Is(err, access.ErrForbidden) {
		t.Errorf("of another path an agent says %v", err)
	}
	if err := check(monitor.ReportsPath, tokenFor("vault")); !errors.Is(err, access.ErrNobody) {
		t.Errorf("of a token for others an agent says %v", err)
	}
	anybody := rest.AnonymousClientConfig(admin)
	anybody.BearerToken = token
	if _, err := kubernetes.NewForConfigOrDie(anybody).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("the API server says %v, want that it knows nobody", err)
	}
}

func TestThePolicyKnowsTheAgentsConditions(t *testing.T) {
	_, manifests := kubectlMaek(t, t.Context(), "install", "--agent")
	list, err := json.Marshal(condition.Types())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(manifests), ""), string(list)) {
		t.Errorf("the policy does not name %s", list)
	}
}

// running is an agent of a test.
type running struct {
	socket string
	stop   func() error
	state  string
}

// startAgent runs an agent on an empty machine.
func startAgent(t *testing.T, node, state string, port uint16, config *rest.Config, rules []rule.Rule) *running {
	t.Helper()
	// Paths of sockets are short (unix(7)).
	socket := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- agent.Run(ctx, agent.Options{
			Version: "test", Root: t.TempDir(), Node: node, Namespace: agentNamespace, StatePath: state, SocketPath: socket, Port: port,
			Config: config, NodeConditions: true, Rules: rules, Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
	}()
	a := &running{socket: socket, state: state}
	stopped := false
	a.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Errorf("agent of %s: %v", node, err)
		}
	})
	return a
}

// evidence asks an agent for what it knows, by key; nil while it does not answer.
func (a *running) evidence(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	var dialer net.Dialer
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", a.socket)
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+monitor.ReportPath, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	var report snapshot.MachineReport
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range report.Evidence {
		out[string(e.Key)] = e.Value
	}
	return out
}

// alarm is a rule that finds the kubelet down on every machine.
var alarm = rule.Rule{
	Code: "TestAlarm", Severity: finding.Critical, Machine: []snapshot.EvidenceKey{"cluster/api"},
	Detect: func(p *rule.Pass) {
		for _, m := range p.Machines() {
			p.Report(finding.Finding{
				Subject: m.Subject("Unit", "kubelet.service"), Mechanism: "stopped",
				Title: finding.Text{EN: "kubelet.service is stopped", KO: "kubelet.service가 중지되었습니다"},
			})
		}
	},
}

// TestAnAgentAgainstAnAPIServer runs the agent itself: it publishes its key, tells what is wrong in
// conditions and an event, knows its peer, and still knows it after a start without an API server.
func TestAnAgentAgainstAnAPIServer(t *testing.T) {
	client, configs := installAgent(t, "agent-1", "agent-2")
	port := freePort(t)
	state := filepath.Join(t.TempDir(), "state")
	a := startAgent(t, "agent-1", state, port, configs["agent-1"], []rule.Rule{alarm})
	until(t, "the agent tells of itself", func(ctx context.Context) bool {
		node, err := client.CoreV1().Nodes().Get(ctx, "agent-1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		told := false
		for _, c := range node.Status.Conditions {
			told = told || c.Type == "KubeletUnhealthy" && c.Status == corev1.ConditionTrue && c.Reason == "TestAlarm"
		}
		return told && strings.HasPrefix(node.Annotations[monitor.KeyAnnotation], "sha256:")
	})
	until(t, "the event is there", func(ctx context.Context) bool {
		events, err := client.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=agent-1,reason=TestAlarm"})
		return err == nil && len(events.Items) == 1
	})
	until(t, "its peer is known", func(ctx context.Context) bool {
		e := a.evidence(ctx, t)
		return e["cluster/node/agent-2/agent"] == "true" && e["cluster/node/agent-2/internal-ip"] == "127.0.1.2" && e["cluster/api"] == "answers"
	})

	t.Run("a second agent on the machine says so and ends", func(t *testing.T) {
		err := agent.Run(t.Context(), agent.Options{
			Version: "other", Root: t.TempDir(), Node: "agent-1", StatePath: state, SocketPath: filepath.Join(t.TempDir(), "s"), Port: port,
			Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
		})
		if err == nil || !strings.Contains(err.Error(), "another agent runs on this machine: maek-agent test") {
			t.Errorf("error %v", err)
		}
	})

	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	nobody := rest.CopyConfig(configs["agent-1"])
	nobody.Host = fmt.Sprintf("https://127.0.0.1:%d", freePort(t))
	later := startAgent(t, "agent-1", state, port, nobody, nil)
	until(t, "the peer is known without an API server, which is said to be silent", func(ctx context.Context) bool {
		e := later.evidence(ctx, t)
		return e["cluster/node/agent-2/agent"] == "true" && e["cluster/api"] == "silent" && e["cluster/read-at"] != ""
	})
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening at %v", l.Addr())
	}
	return uint16(address.Port)
}
