package synthetic

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestImageDownloadByNodes(t *testing.T) {
	// notRun is a pod whose image is there, and whose program is not.
	notRun := func(p *corev1.Pod) {
		p.UID = "pod-uid"
		p.Status.Phase = corev1.PodFailed
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "image", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 128, Reason: "StartError", Message: "no such file", FinishedAt: metav1.NewTime(time.Now().Add(3 * time.Second)), //nolint:forbidigo // the time of the bubble
		}}}}
	}
	told := func(message string) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: checks, Name: "e"}, Type: corev1.EventTypeNormal, Reason: "Pulled", Message: message,
			InvolvedObject: corev1.ObjectReference{UID: "pod-uid"},
		}
	}
	tests := map[string]struct {
		objects    []client.Object
		kubelet    func(*corev1.Pod)
		wantErrors []string
		wantNodes  []NodeResult
	}{
		"the kubelet says how long it took": {
			objects:   []client.Object{told(`Successfully pulled image "example.com/a:1" in 1.5s (2.25s including waiting). Image size: 5 bytes.`)},
			kubelet:   notRun,
			wantNodes: []NodeResult{{Node: "n1", OK: true, Seconds: 2.25}},
		},
		"without Events the container's times say it": {
			kubelet:   notRun,
			wantNodes: []NodeResult{{Node: "n1", OK: true, Seconds: 3}},
		},
		"longer than it may take": {
			objects:    []client.Object{told(`Successfully pulled image "example.com/a:1" in 1m30s (1m30s including waiting). Image size: 5 bytes.`)},
			kubelet:    notRun,
			wantErrors: []string{"image example.com/a:1, node n1: the download took 1m30s, longer than TIMEOUT_LIMIT=1m0s"},
			wantNodes:  []NodeResult{{Node: "n1", Seconds: 90, Message: "the download took 1m30s, longer than TIMEOUT_LIMIT=1m0s"}},
		},
		"a registry that has no such image": {
			kubelet:    waits("ErrImagePull", "manifest unknown"),
			wantErrors: []string{"image example.com/a:1, node n1: the download failed: the pod waits with container c: ErrImagePull: manifest unknown"},
			wantNodes:  []NodeResult{{Node: "n1", Message: "the download failed: the pod waits with container c: ErrImagePull: manifest unknown"}},
		},
		"a download that does not end": {
			kubelet:    waits("ContainerCreating", ""),
			wantErrors: []string{"image example.com/a:1, node n1: it was not there after 1m0s: the pod is still having its containers created on node n1"},
			wantNodes:  []NodeResult{{Node: "n1", Message: "it was not there after 1m0s: the pod is still having its containers created on node n1"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, append(tc.objects, node("n1"))...)
				cluster.kubelet = tc.kubelet
				env := cluster.environment(map[string]string{"FULL_IMAGE_URL": "example.com/a:1", "TIMEOUT_LIMIT": "60s"})
				result := playFor(t, 10*time.Minute, env, runImageDownload)
				if diff := cmp.Diff(tc.wantErrors, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.wantNodes, result.Nodes); diff != "" {
					t.Errorf("nodes (-want +got):\n%s", diff)
				}
				if left := cluster.left(t); len(left) > 0 {
					t.Errorf("left in the cluster: %v", left)
				}
			})
		})
	}
}

// TestImageDownloadByItself has a real registry, that wants a password, and no right to create pods, as
// Kuberhealthy's manifest leaves it.
func TestImageDownloadByItself(t *testing.T) {
	const password = "open-sesame"
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); strings.HasPrefix(r.URL.Path, "/v2/private") && given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"not with `+given+`"}]}`, http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/v2/private") {
			r.URL.Path = strings.Replace(r.URL.Path, "/v2/private", "/v2/public", 1)
		}
		store.ServeHTTP(w, r)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	image, err := random.Image(1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(host + "/public/a:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		options map[string]string
		// want is part of the first error; empty where all is well.
		want string
	}{
		"without a password": {options: map[string]string{"FULL_IMAGE_URL": host + "/public/a:1"}},
		"with the password": {options: map[string]string{
			"FULL_IMAGE_URL": host + "/private/a:1", "LOGIN_REQUIRED": "true", "REGISTRY_USERNAME": "u", "REGISTRY_PASSWORD": password,
		}},
		"with another password, which no text repeats": {
			options: map[string]string{"FULL_IMAGE_URL": host + "/private/a:1", "LOGIN_REQUIRED": "true", "REGISTRY_USERNAME": "u", "REGISTRY_PASSWORD": "wrong-one"},
			want:    "the download failed",
		},
		"an image that does not exist": {options: map[string]string{"FULL_IMAGE_URL": host + "/public/b:1"}, want: "NAME_UNKNOWN"},
		"no image's name":              {options: map[string]string{"FULL_IMAGE_URL": "Not An Image"}, want: "could not parse reference"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cluster := newSimulated(t, node("n1"))
			tc.options["TIMEOUT_LIMIT"] = "1m"
			env := cluster.environment(tc.options)
			env.Client = interceptor.NewClient(cluster, interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return forbidden("pods")
			}})
			result := playFor(t, time.Minute, env, runImageDownload)
			if (tc.want == "") != result.OK() || !result.OK() && !strings.Contains(result.Errors[0], tc.want) {
				t.Errorf("errors %q, want %q", result.Errors, tc.want)
			}
			if strings.Contains(strings.Join(result.Errors, ""), "wrong-one") {
				t.Errorf("errors %q have the password", result.Errors)
			}
		})
	}
}
