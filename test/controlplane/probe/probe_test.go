package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/cli"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// output may be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// maek runs a command line.
func maek(ctx context.Context, out, errOut *output, args ...string) exit.Code {
	return cli.Run(ctx, &invocation.Invocation{
		Out: out, ErrOut: errOut, Program: "kubectl maek", Version: "test",
		Now: time.Now, After: time.After, Getenv: func(string) string { return "" }, Location: time.UTC,
	}, rules.All(), args)
}

// pod makes a pod that runs on a node, with containers that are all started and, but for those that are named, ready.
func pod(t *testing.T, namespace, name, node string, unready []string, containers ...corev1.Container) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: containers},
	}
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].Image = "example.com/app:1"
	}
	if err := cluster.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.Status.Phase, p.Status.PodIP = corev1.PodRunning, "10.244.1.7"
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	ready := corev1.ConditionTrue
	for _, c := range containers {
		status := corev1.ContainerStatus{
			Name: c.Name, Started: new(true), Ready: true, ContainerID: "containerd://" + c.Name, Image: c.Image,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-time.Hour))}},
		}
		for _, u := range unready {
			if u == c.Name {
				status.Ready, ready = false, corev1.ConditionFalse
			}
		}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, status)
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()}}
	if err := cluster.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func namespace(t *testing.T, name string) {
	t.Helper()
	if err := cluster.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
}

func readiness(name string, h corev1.ProbeHandler) corev1.Container {
	return corev1.Container{Name: name, ReadinessProbe: &corev1.Probe{ProbeHandler: h, TimeoutSeconds: 1}}
}

func get(path string, port int) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt(port)}}
}

// TestWhatProbesAnswerNow asks real programs through a real API server.
func TestWhatProbesAnswerNow(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	states := health.NewServer()
	states.SetServingStatus("ill", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(server, states)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	healthy := filepath.Join(t.TempDir(), "healthy")
	if err := os.WriteFile(healthy, []byte("ok\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &kubelet{healthy: healthy, ports: map[int32]string{8080: web(t), 9090: listener.Addr().String()}}
	k.start(t, "w1")
	namespace(t, "answers")

	run := func(command ...string) corev1.ProbeHandler {
		return corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: command}}
	}
	tcp := func(port int) corev1.ProbeHandler {
		return corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(port)}}
	}
	for name, tc := range map[string]struct {
		handler corev1.ProbeHandler
		from    string
		// want of the kubelet's result, and of its message.
		want, says string
		discarded  bool
		difference string
		// either tells that the kubelet's complaint may come before the attempt is over, or after.
		either bool
		// hangs tells that the probe's timeout ends it, which is long for all others.
		hangs bool
	}{
		"http-ok":        {handler: get("/200", 8080), from: "port-forward", want: "success"},
		"http-500":       {handler: get("/500", 8080), from: "port-forward", want: "failure", says: "HTTP probe failed with statuscode: 500"},
		"http-hang":      {handler: get("/hang", 8080), from: "port-forward", want: "failure", says: "awaiting headers", hangs: true},
		"http-body":      {handler: get("/body", 8080), from: "port-forward", want: "failure", says: "while reading body", discarded: true, difference: "BodyLost", hangs: true},
		"http-endless":   {handler: get("/endless", 8080), from: "port-forward", want: "success"},
		"http-away":      {handler: get("/away", 8080), from: "port-forward", want: "warning", says: "Probe terminated redirects", difference: "RedirectedAway"},
		"http-agent":     {handler: get("/agent", 8080), from: "port-forward", want: "success"},
		"http-refused":   {handler: get("/", 1111), from: "port-forward", want: "failure", says: "connection refused"},
		"tcp-ok":         {handler: tcp(8080), from: "port-forward", want: "success"},
		"tcp-refused":    {handler: tcp(1112), from: "port-forward", want: "failure", says: "connection refused"},
		"grpc-ok":        {handler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9090}}, from: "port-forward", want: "success"},
		"grpc-ill":       {handler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9090, Service: new("ill")}}, from: "port-forward", want: "failure", says: "NOT_SERVING"},
		"grpc-refused":   {handler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 1113}}, from: "port-forward", want: "failure", says: "failed to connect service", difference: "ConnectionErrorHidden", either: true, hangs: true},
		"exec-ok":        {handler: run("cat", "/tmp/healthy"), from: "exec", want: "success"},
		"exec-flood":     {handler: run("flood"), from: "exec", want: "failure", says: "nononono"},
		"exec-hang":      {handler: run("hang"), from: "exec", want: "failure", says: "timed out after 1s", hangs: true},
		"exec-no-binary": {handler: run("curl", "localhost"), from: "exec", want: "unknown", says: "executable file not found", discarded: true, difference: "CommandNotRun"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := readiness("app", tc.handler)
			if !tc.hangs {
				app.ReadinessProbe.TimeoutSeconds = 60
			}
			pod(t, "answers", name, "w1", nil, app)
			var out, errOut output
			code := maek(t.Context(), &out, &errOut, "probe", name, "-n", "answers", "-o", "json", "--kubeconfig", apiserver.Kubeconfig(t, environment, "admin", "system:masters"))
			var doc document
			if err := json.Unmarshal([]byte(out.String()), &doc); err != nil {
				t.Fatalf("%v of %q, %s", err, out.String(), errOut.String())
			}
			p := doc.Pods[0].Containers[0].Probes[0]
			if len(p.Now) != 1 {
				t.Fatalf("not asked: %s", p.NotAsked)
			}
			now := p.Now[0]
			if now.From != tc.from || now.Kubelet.Result != tc.want || !strings.Contains(now.Kubelet.Message, tc.says) ||
				now.Kubelet.Discarded != tc.discarded || now.Difference != tc.difference && !(tc.either && now.Difference == "") {
				t.Errorf("answered %+v", now)
			}
			if len(out.String()) > 16<<10 {
				t.Errorf("%d bytes are printed", len(out.String()))
			}
			wantCode := exit.Incidents
			switch {
			case tc.difference == "RedirectedAway":
				wantCode = exit.Unknown
			case tc.want == "success":
				wantCode = exit.OK
			}
			if code != wantCode {
				t.Errorf("exit code %d, want %d: %s", code, wantCode, errOut.String())
			}
		})
	}
}

// document is the part of -o json that is looked at here.
type document struct {
	Verdict string
	Missing []string
	Pods    []struct {
		Name       string
		Containers []struct {
			Name   string
			Probes []struct {
				Kind, Verdict, NotAsked string
				Seen, Consequence       []string
				Counts                  struct {
					Failed, Killed int
					Metrics        map[string]int
				}
				Now []struct {
					From, Difference string
					Kubelet          struct {
						Result, Message string
						Discarded       bool
					}
				}
			}
		}
	}
}
