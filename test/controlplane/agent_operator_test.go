//go:build linux

package controlplane

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/vantage"
	"github.com/maek-dev/maek/internal/operator/incident"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
)

// operatorAccount is what the operator's pod is given beside its rights, which come with what is installed: a token for the API server, and a file
// with one for agents.
func operatorAccount(t *testing.T, c *kubernetes.Clientset) (*rest.Config, string) {
	t.Helper()
	cfg := rest.AnonymousClientConfig(admin)
	cfg.BearerToken = tokenOf(t, c, "maek-operator")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(tokenOf(t, c, "maek-operator", monitor.Audience)), 0o600); err != nil {
		t.Fatal(err)
	}
	return cfg, file
}

func tokenOf(t *testing.T, c *kubernetes.Clientset, account string, audiences ...string) string {
	t.Helper()
	token, err := c.CoreV1().ServiceAccounts(agentNamespace).CreateToken(t.Context(), account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// agentPod makes the pod of a node's agent as its DaemonSet would.
func agentPod(t *testing.T, c *kubernetes.Clientset, node string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: agentNamespace, Name: "maek-agent-" + node, Labels: agents.Labels(),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "maek-agent", UID: "ds", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: node, HostNetwork: true, ServiceAccountName: "maek-agent", Containers: []corev1.Container{{Name: "agent", Image: "example/agent:1"}}},
	}
	pod, err := c.CoreV1().Pods(agentNamespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.CoreV1().Pods(agentNamespace).Delete(context.WithoutCancel(t.Context()), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	})
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	if _, err := c.CoreV1().Pods(agentNamespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestTheOperatorAsksAgents runs a real agent, and asks it with the operator's own rights: for what it sees of its
// machine, which becomes an Incident, and for probes.
func TestTheOperatorAsksAgents(t *testing.T) {
	const node = "asked-1"
	c, configs := installAgent(t, node)
	cfg, tokenFile := operatorAccount(t, c)
	agentPod(t, c, node)
	// Where the operator looks for it: at the port of all agents.
	startAgent(t, node, filepath.Join(t.TempDir(), "state"), monitor.Port, configs[node], nil)
	until(t, "the agent has published its key", func(ctx context.Context) bool {
		n, err := c.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		return err == nil && n.Annotations[monitor.KeyAnnotation] != ""
	})

	t.Run("an Incident tells what an agent sees", func(t *testing.T) {
		needs := alarm
		needs.Needs = []rule.Need{rule.Optional[*corev1.Pod](), rule.Optional[*corev1.Node]()}
		d, err := incident.New(incident.Options{
			Config: cfg, Rules: []rule.Rule{needs}, Name: "test", Language: finding.English, Version: "test",
			AgentToken: agents.TokenFrom(tokenFile), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		reader := readerOf(t, admin)
		until(t, "the incident is there", func(ctx context.Context) bool {
			var all v1alpha1.IncidentList
			if err := reader.List(ctx, &all); err != nil {
				t.Fatal(err)
			}
			for _, i := range all.Items {
				if i.Status.Code == "TestAlarm" && i.Status.Phase == v1alpha1.IncidentOpen {
					return true
				}
			}
			return false
		})
	})

	t.Run("an agent probes for the operator", func(t *testing.T) {
		at := target(t)
		named := plan.Question{Name: "named", Probe: probe.HTTP{URL: &url.URL{Scheme: "http", Host: "front.shop.svc:" + port(at)}}, Addresses: []string{at}, Nodes: true}
		loopback := plan.Question{Name: "loopback", Probe: probe.TCP{Address: "127.0.0.1:22"}, Addresses: []string{"127.0.0.1:22"}, Nodes: true}
		asks := func(token func() (string, error)) map[string]string {
			nodes := vantage.NewNodes(vantage.NodesOptions{Reader: readerOf(t, cfg), Token: token, Now: time.Now})
			defer nodes.Close()
			out := map[string]string{}
			nodes.Each(t.Context(), []plan.Question{named, loopback}, 5*time.Second, func(a plan.Answer) {
				out[a.Name+" from "+a.From] = a.Outcome.Strict.Message
				if a.Unasked != nil {
					out[a.Name+" from "+a.From] = "unasked: " + a.Unasked.Error()
				}
			})
			return out
		}
		got := asks(agents.TokenFrom(tokenFile))
		if got["named from "+node] != "well" || !strings.Contains(got["loopback from "+node], "unasked: the agent of "+node+" did not ask: agents do not ask this address") {
			t.Errorf("%q", got)
		}
		reader := func() (string, error) { return tokenOf(t, c, monitor.ReaderAccount, monitor.Audience), nil }
		if got := asks(reader)["named from "+node]; !strings.Contains(got, "403 Forbidden") || !strings.Contains(got, "needs the right to post the non-resource URL "+monitor.ProbePath) {
			t.Errorf("who may only read what agents see: %q", got)
		}
		prober := func() (string, error) { return tokenOf(t, c, monitor.ProberAccount, monitor.Audience), nil }
		if got := asks(prober)["named from "+node]; got != "well" {
			t.Errorf("the account of the command line: %q", got)
		}
		wide := func() (string, error) { return tokenOf(t, c, "maek-agent", monitor.Audience), nil }
		if got := asks(wide)["named from "+node]; !strings.Contains(got, "403 Forbidden") {
			t.Errorf("another account: %q", got)
		}
	})
}

func readerOf(t *testing.T, cfg *rest.Config) client.Client {
	t.Helper()
	out, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(out.Scheme()); err != nil {
		t.Fatal(err)
	}
	return out
}

// target answers at an address of this machine that is not loopback.
func target(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || !n.IP.IsGlobalUnicast() || n.IP.IsLoopback() {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(n.IP.String(), "0"))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") })}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
		return l.Addr().String()
	}
	t.Skip("NOT RUN: this machine has no address but loopback")
	return ""
}

func port(at string) string {
	_, text, _ := net.SplitHostPort(at)
	return text
}
