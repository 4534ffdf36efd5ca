package probe

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// administrator is the kubeconfig of who may do everything.
func administrator(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "administrator")
	if err := os.WriteFile(path, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wired is a kubeconfig whose server is reached over a wire.
func wired(t *testing.T, wire *apiserver.Wire, config string) string {
	t.Helper()
	loaded, err := clientcmd.LoadFromFile(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	for _, cluster := range loaded.Clusters {
		server, err := url.Parse(cluster.Server)
		if err != nil {
			t.Fatal(err)
		}
		go carry(t.Context(), listener, wire, server.Host)
		server.Host = listener.Addr().String()
		cluster.Server = server.String()
	}
	path := filepath.Join(t.TempDir(), "wired")
	if err := clientcmd.WriteToFile(*loaded, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// carry passes connections on until the listener is closed.
func carry(ctx context.Context, listener net.Listener, wire *apiserver.Wire, to string) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := wire.Dial(ctx, "tcp", to)
		if err != nil {
			_ = near.Close()
			continue
		}
		for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() {
				_, _ = io.Copy(ends[0], ends[1])
				_ = ends[0].Close()
			}()
		}
	}
}

// TestWatchOutlivesTheAPIServer cuts a watch off while things happen, and holds that it says so, catches up with what
// happened meanwhile, and tells nothing twice.
func TestWatchOutlivesTheAPIServer(t *testing.T) {
	(&kubelet{}).start(t, "w7")
	namespace(t, "cut")
	web, db := pod(t, "cut", "web", "w7", nil, readiness("web", get("/", 8080))), pod(t, "cut", "db", "w7", nil, readiness("db", get("/", 8080)))
	service := &corev1.Service{}
	service.Namespace, service.Name = "cut", "all"
	service.Spec = corev1.ServiceSpec{Selector: map[string]string{"tier": "one"}, Ports: []corev1.ServicePort{{Port: 80}}}
	create(t, service)
	for _, p := range []*corev1.Pod{web, db} {
		p.Labels["tier"] = "one"
		update(t, p)
	}
	wire := &apiserver.Wire{}
	config := wired(t, wire, administrator(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errOut output
	code := make(chan exit.Code, 1)
	go func() {
		code <- maek(ctx, &out, &errOut, "probe", "svc/all", "-n", "cut", "--watch", "--no-ask", "--kubeconfig", config)
	}()
	tells := func(want string) {
		t.Helper()
		eventually(t, want+", after:\n"+out.String()+errOut.String(), func() bool { return strings.Contains(out.String(), want) })
	}
	write(t, web, "web", "Readiness probe failed: HTTP probe failed with statuscode: 500", "Unhealthy", 1)
	tells("Pod cut/web")
	seen := 1
	eventually(t, "Events are watched", func() bool {
		seen++
		write(t, web, "web", "Readiness probe failed: HTTP probe failed with statuscode: 500", "Unhealthy", seen)
		return strings.Contains(out.String(), "readiness probe of web failed")
	})

	wire.Cut()
	// Which kind is missed first depends on whose retries are over first.
	tells("what happens now is not seen; could not read")
	setReady(t, web, false)
	if err := cluster.Delete(t.Context(), db, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	db = pod(t, "cut", "db", "w7", nil, readiness("db", get("/", 8080)))
	db.Labels["tier"] = "one"
	update(t, db)
	wire.Mend()

	tells("what happens is seen again")
	tells("web: the pod is not Ready")
	tells("db: the pod is another one of the same name")
	setReady(t, web, true)
	tells("web: the pod is Ready")
	for _, want := range []string{"not seen; could not read", "seen again", "web: the pod is not Ready", "db: the pod is another one", "web: the pod is Ready"} {
		if got := strings.Count(out.String(), want); got != 1 {
			t.Errorf("%q is told %d times in:\n%s", want, got, out.String())
		}
	}
	if strings.Contains(out.String(), "appeared") {
		t.Errorf("what was there is told as new in:\n%s", out.String())
	}
	cancel()
	select {
	case <-code:
	case <-time.After(soon):
		t.Fatal("it does not end")
	}
}

// TestWatchReadsAnewWhatIsAround holds that Nodes and Services are as they are now, and not as
// they were when somebody began to watch, and that a pod which is gone leaves no empty screen.
func TestWatchReadsAnewWhatIsAround(t *testing.T) {
	(&kubelet{}).start(t, "w8")
	namespace(t, "around")
	web := pod(t, "around", "web", "w8", nil, readiness("web", get("/", 8080)))
	ctx, cancel := context.WithCancel(t.Context())
	var out, errOut output
	code := make(chan exit.Code, 1)
	inv := &invocation.Invocation{
		Out: &out, ErrOut: &errOut, OutTerminal: true, Program: "kubectl maek", Version: "test", Now: time.Now,
		After:  func(d time.Duration) <-chan time.Time { return time.After(min(d, 100*time.Millisecond)) },
		Getenv: func(string) string { return "" }, Location: time.UTC,
	}
	config := administrator(t)
	go func() {
		code <- cli.Run(ctx, inv, rules.All(), []string{"probe", "web", "-n", "around", "--watch", "--no-ask", "--kubeconfig", config})
	}()
	shows := func(want string) {
		t.Helper()
		eventually(t, want, func() bool {
			screens := strings.Split(out.String(), "\x1b[H\x1b[J")
			return strings.Contains(screens[len(screens)-1], want)
		})
	}
	shows("no Service selects the pod")
	node := &corev1.Node{}
	if err := cluster.Get(t.Context(), client.ObjectKey{Name: "w8"}, node); err != nil {
		t.Fatal(err)
	}
	node.Status.Conditions[0].Status = corev1.ConditionUnknown
	updateStatus(t, node)
	shows("node w8 does not report since")
	service := &corev1.Service{}
	service.Namespace, service.Name = "around", "late"
	service.Spec = corev1.ServiceSpec{Selector: web.Labels, Ports: []corev1.ServicePort{{Port: 80}}}
	create(t, service)
	shows("Service late (80)")
	if err := cluster.Delete(t.Context(), web, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	shows("Nothing is left of Pod around/web.")
	cancel()
	select {
	case got := <-code:
		if got != exit.Unknown {
			t.Errorf("exit code %d of a pod that is gone", got)
		}
	case <-time.After(soon):
		t.Fatal("it does not end")
	}
}
