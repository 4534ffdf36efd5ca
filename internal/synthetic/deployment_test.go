package synthetic

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pipes is a network in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serving answers requests with a status code, until the test ends.
func serving(t *testing.T, code int) dialer {
	t.Helper()
	listener := make(pipes)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case listener <- far:
			return near, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func refuseHost(dial dialer, refused func(host string) bool) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil || refused(host) {
			return nil, errors.New("dial " + host + ": refused")
		}
		return dial(ctx, network, address)
	}
}

func TestDeployment(t *testing.T) {
	isName := func(host string) bool { return strings.HasSuffix(host, ".svc") }
	tests := map[string]struct {
		options    map[string]string
		code       int
		kubelet    func(*corev1.Pod)
		keepPods   bool
		rolling    time.Duration
		refused    func(host string) bool
		outside    bool
		wantErrors []string
		wantNotes  []string
	}{
		"all is well": {},
		"all is well, with a rolling update": {
			options: map[string]string{"CHECK_DEPLOYMENT_ROLLING_UPDATE": "true", "CHECK_DEPLOYMENT_REPLICAS": "4"}, rolling: 10 * time.Second,
		},
		"images that cannot be pulled are named": {
			kubelet:    waits("ErrImagePull", "no such image"),
			wantErrors: []string{"Deployment checks/deployment-deployment-abc123 did not become available, when the time of the run was over: pod deployment-deployment-abc123-0-1, deployment-deployment-abc123-1-1 waits with container c: ErrImagePull: no such image"},
		},
		"a Service that nobody answers": {
			refused:    func(string) bool { return true },
			wantErrors: []string{"no request to Service checks/deployment-svc-abc123 at 127.0.0.1:80 succeeded within 1m0s, while its pods are ready: dial 127.0.0.1: refused"},
		},
		"a Service whose name leads nowhere": {
			refused:    isName,
			wantErrors: []string{"no request to deployment-svc-abc123.checks.svc succeeded within 1m0s, while the Service answers at its address 127.0.0.1: dial deployment-svc-abc123.checks.svc: refused"},
		},
		"pods that answer an error": {
			code:       503,
			wantErrors: []string{"no request to Service checks/deployment-svc-abc123 at 127.0.0.1:80 succeeded within 1m0s, while its pods are ready: the server answered 503 Service Unavailable"},
		},
		"pods that stay": {
			keepPods:   true,
			wantErrors: []string{"Deployment checks/deployment-deployment-abc123 was deleted, and 10m0s later, when the time of the run was over, its pods were still there: deployment-deployment-abc123-0-1, deployment-deployment-abc123-1-1"},
		},
		"from outside of the cluster no request is sent": {
			refused: func(string) bool { return true }, outside: true,
			wantNotes: []string{"no request was sent through the Service: this was run outside the cluster"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, node("n1"))
				cluster.kubelet, cluster.keepPods, cluster.rolling = tc.kubelet, tc.keepPods, tc.rolling
				env := cluster.environment(tc.options)
				if tc.outside {
					env.Pod = ""
				}
				code := tc.code
				if code == 0 {
					code = http.StatusOK
				}
				dial := serving(t, code)
				if tc.refused != nil {
					dial = refuseHost(dial, tc.refused)
				}
				result := playFor(t, 10*time.Minute, env, func(ctx context.Context, env Environment) (Result, error) { return runDeployment(ctx, env, dial) })
				if diff := cmp.Diff(tc.wantErrors, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.wantNotes, result.Notes); diff != "" {
					t.Errorf("notes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestDeploymentCountsFailedRequests(t *testing.T) {
	tests := map[string]struct {
		options    map[string]string
		wantErrors []string
		wantNotes  []string
	}{
		"with the checker's own image they are the cluster's failure": {
			wantErrors: []string{"10 of 101 requests through Service checks/deployment-svc-abc123 failed during the rolling update, the first at 2000-01-01T00:00:05Z, 5s after it began: dial 127.0.0.1: refused"},
		},
		"with another image they may be the image's": {
			options:   map[string]string{"CHECK_IMAGE": "nginx:1.17-perl", "CHECK_IMAGE_ROLL_TO": "nginx:1.17.5-perl"},
			wantNotes: []string{"10 of 101 requests through Service checks/deployment-svc-abc123 failed during the rolling update, the first at 2000-01-01T00:00:05Z, 5s after it began: dial 127.0.0.1: refused; the image may end without waiting for requests that are still on their way"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, node("n1"))
				cluster.rolling = 10*time.Second + 50*time.Millisecond
				options := map[string]string{"CHECK_DEPLOYMENT_ROLLING_UPDATE": "true"}
				maps.Copy(options, tc.options)
				began := time.Now() //nolint:forbidigo // the time of the bubble
				dial := refuseHost(serving(t, http.StatusOK), func(string) bool {
					into := time.Since(began) //nolint:forbidigo // the time of the bubble
					return into >= 5*time.Second && into < 6*time.Second
				})
				result := playFor(t, 10*time.Minute, cluster.environment(options), func(ctx context.Context, env Environment) (Result, error) { return runDeployment(ctx, env, dial) })
				if diff := cmp.Diff(tc.wantErrors, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.wantNotes, result.Notes); diff != "" {
					t.Errorf("notes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestDeploymentIsRefusedItsPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := newSimulated(t, node("n1"))
		cluster.kubelet = func(*corev1.Pod) {}
		env := cluster.environment(map[string]string{"CHECK_DEPLOYMENT_REPLICAS": "1"})
		go func() {
			<-time.After(time.Second)
			if err := giveUp(t.Context(), cluster); err != nil {
				t.Error(err)
			}
		}()
		result := playFor(t, 10*time.Minute, env, func(ctx context.Context, env Environment) (Result, error) { return runDeployment(ctx, env, noDial) })
		want := []string{"Deployment checks/deployment-deployment-abc123 did not become available, as the Deployment controller gave up: ProgressDeadlineExceeded: its pods are refused (FailedCreate): pods \"x\" is forbidden: exceeded quota: tight"}
		if diff := cmp.Diff(want, result.Errors); diff != "" {
			t.Errorf("errors (-want +got):\n%s", diff)
		}
	})
}

// giveUp has the Deployment controller do what it does when a quota refuses pods for long enough.
func giveUp(ctx context.Context, cluster *simulated) error {
	var all appsv1.DeploymentList
	if err := cluster.base.List(ctx, &all); err != nil {
		return err
	}
	if err := cluster.base.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: checks, Name: "deployment-deployment-abc123-0-1"}}); err != nil {
		return err
	}
	d := &all.Items[0]
	d.Status.Conditions = []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"},
		{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: `pods "x" is forbidden: exceeded quota: tight`},
	}
	return persist(ctx, client.Client(cluster.base), d)
}
