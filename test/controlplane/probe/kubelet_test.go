package probe

import (
	"bytes"
	"context"
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
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	remotecommandserver "k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// kubelet has the doors through which an API server reaches pods: a node's, with a container runtime's streaming
// server behind them.
type kubelet struct {
	// ports of the pods lead to these addresses; nothing listens on others.
	ports map[int32]string
	// healthy is the file that the command "cat /tmp/healthy" reads.
	healthy string
	// metrics is the page of the probes.
	metrics string

	streams streaming.Server
}

// start makes a node whose kubelet this is.
func (k *kubelet) start(t *testing.T, node string) {
	t.Helper()
	config := streaming.DefaultConfig
	config.Addr = "localhost:12345" // only the path of what it makes of this is used
	var err error
	if k.streams, err = streaming.NewServer(config, k); err != nil {
		t.Fatal(err)
	}
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
	var at string
	var err error
	switch parts[0] {
	case "exec":
		var answer *runtimeapi.ExecResponse
		if answer, err = k.streams.GetExec(&runtimeapi.ExecRequest{ContainerId: parts[3], Cmd: r.URL.Query()["command"], Stdout: true, Stderr: true}); err == nil {
			at = answer.Url
		}
	case "portForward":
		var answer *runtimeapi.PortForwardResponse
		if answer, err = k.streams.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: parts[2]}); err == nil {
			at = answer.Url
		}
	case "metrics":
		_, _ = io.WriteString(w, k.metrics)
		return
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	to, err := url.Parse(at)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	r.URL.Path = to.Path
	k.streams.ServeHTTP(w, r)
}

// Exec runs the commands that the tests' containers have.
func (k *kubelet) Exec(ctx context.Context, _ string, command []string, _ io.Reader, out, errOut io.WriteCloser, _ bool, _ <-chan remotecommandserver.TerminalSize) error {
	switch strings.Join(command, " ") {
	case "cat /tmp/healthy":
		data, err := os.ReadFile(k.healthy)
		if err != nil {
			_, _ = io.WriteString(errOut, "cat: can't open '/tmp/healthy': No such file or directory\n")
			return utilexec.CodeExitError{Err: errors.New("exit status 1"), Code: 1}
		}
		_, _ = out.Write(data)
		return nil
	case "flood":
		block := bytes.Repeat([]byte("no"), 64<<10)
		for range 80 {
			if _, err := out.Write(block); err != nil {
				return err
			}
		}
		return utilexec.CodeExitError{Err: errors.New("exit status 3"), Code: 3}
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	default:
		return fmt.Errorf("OCI runtime exec failed: exec failed: unable to start container process: exec: %q: executable file not found in $PATH: unknown", command[0])
	}
}

// Attach is never asked for.
func (k *kubelet) Attach(context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan remotecommandserver.TerminalSize) error {
	return errors.New("nothing to attach to")
}

// PortForward connects to a program, as container runtimes do in a pod's network namespace.
func (k *kubelet) PortForward(ctx context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	address, ok := k.ports[port]
	if !ok {
		return fmt.Errorf("failed to execute portforward in network namespace %q: failed to connect to localhost:%d inside namespace %q, IPv4: dial tcp4 127.0.0.1:%d: connect: connection refused",
			"/var/run/netns/cni-1", port, "id", port)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	var copies sync.WaitGroup
	copies.Go(func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.Close()
	})
	_, _ = io.Copy(stream, conn)
	_ = stream.Close()
	_ = conn.Close()
	copies.Wait()
	return nil
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

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
