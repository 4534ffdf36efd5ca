package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/maek-dev/maek/internal/collect/pods/podstest"
)

// kubelet has the doors through which an API server reaches pods: a node's, with a container runtime's streaming
// server behind them.
type kubelet struct {
	// ports of the pods lead to these addresses; nothing listens on others.
	ports map[int32]string
	// healthy is the only file that the program cat finds, as /tmp/healthy.
	healthy string
	// metrics is the page of the probes.
	metrics string

	runtime *podstest.Runtime
}

// start makes a node whose kubelet this is.
func (k *kubelet) start(t *testing.T, node string) {
	t.Helper()
	k.runtime = podstest.New(t, podstest.Options{Programs: map[string]podstest.Program{"cat": k.cat}, Ports: k.ports})
	listener, err := net.Listen("tcp", net.JoinHostPort(ownAddress(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(k)
	_ = server.Listener.Close()
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if err := cluster.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.Hostname()}}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	n.Status.NodeInfo.KubeletVersion = "v1.36.3"
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now()}}
	if err := cluster.Status().Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// ownAddress of this machine, other than its loopback's: API servers pass nothing on to that one.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if prefix, ok := a.(*net.IPNet); ok && prefix.IP.IsGlobalUnicast() && prefix.IP.To4() != nil {
			return prefix.IP.String()
		}
	}
	return loopback
}

const loopback = "127.0.0.1"

// ServeHTTP plays the kubelet's server (k8s.io/kubernetes/pkg/kubelet/server), which passes streams on.
func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch parts[0] {
	case "exec":
		k.runtime.Exec(w, r, parts[3])
	case "portForward":
		k.runtime.PortForward(w, r, parts[2])
	case "metrics":
		_, _ = io.WriteString(w, k.metrics)
	default:
		http.NotFound(w, r)
	}
}

// cat is busybox's.
func (k *kubelet) cat(_ string, args []string, out, errOut io.Writer) error {
	if len(args) == 1 && args[0] == "/tmp/healthy" {
		if data, err := os.ReadFile(k.healthy); err == nil {
			_, err := out.Write(data)
			return err
		}
	}
	_, _ = fmt.Fprintf(errOut, "cat: can't open '%s': No such file or directory\n", strings.Join(args, " "))
	return utilexec.CodeExitError{Err: errors.New("exit status 1"), Code: 1}
}

// web is an HTTP server in which every path is a way to answer.
func web(t *testing.T) string {
	t.Helper()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/body":
			_, _ = io.WriteString(w, "it begins")
			w.(http.Flusher).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/away":
			http.Redirect(w, r, "http://login.example.com/", http.StatusFound)
		case "/endless":
			block := bytes.Repeat([]byte("x"), 64<<10)
			for r.Context().Err() == nil {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		case "/agent":
			if !strings.HasPrefix(r.UserAgent(), "kube-probe/1.36") || r.Host == "" {
				http.Error(w, r.UserAgent(), http.StatusTeapot)
			}
		default:
			status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
			if err != nil {
				status = http.StatusNotFound
			}
			w.WriteHeader(status)
		}
	}))
	t.Cleanup(func() {
		close(release)
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// soon bounds what takes seconds: only what hangs takes so long, however busy the machine is.
const soon = 2 * time.Minute

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(soon)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", soon, what)
		}
	}
}
