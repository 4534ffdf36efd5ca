package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/internal/snapshot"
)

const logPath = "/api/v1/namespaces/shop/pods/api-000/log"

// fromNode is how an API server passes on a kubelet's error: under the resource pods/log.
func fromNode(status int, body string) *apierrors.StatusError {
	switch status {
	case http.StatusInternalServerError:
		return apierrors.NewInternalError(fmt.Errorf("%s", body))
	case http.StatusBadRequest:
		return apierrors.NewBadRequest(body)
	}
	return apierrors.NewGenericServerResponse(status, "", schema.GroupResource{Resource: "pods/log"}, "api-000", body, 0, false)
}

// dialed is how an API server passes on that it could not open a connection to a kubelet.
func dialed(what string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Message: `Get "https://10.0.0.11:10250/containerLogs/shop/api-000/api?limitBytes=1": ` + what,
	}}
}

func TestContainerLogs(t *testing.T) {
	t.Parallel()
	question := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-000", Container: "api", Previous: true}
	var long, tail strings.Builder
	for i := range 30 {
		fmt.Fprintf(&long, "line %d\n", i)
		if i >= 10 {
			fmt.Fprintf(&tail, "line %d\n", i)
		}
	}
	tests := map[string]struct {
		set  func(s *apiServer)
		want snapshot.Answer
	}{
		"a short log": {
			set:  func(s *apiServer) { s.say(logPath, http.StatusOK, "starting\npanic: no database\n") },
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: "starting\npanic: no database"},
		},
		"an empty log": {
			set:  func(s *apiServer) { s.say(logPath, http.StatusOK, "") },
			want: snapshot.Answer{Outcome: snapshot.Answered},
		},
		"a server that ignores how many lines were asked for": {
			set:  func(s *apiServer) { s.say(logPath, http.StatusOK, long.String()) },
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: strings.TrimSpace(tail.String())},
		},
		"a log that is no text and holds a password": {
			set: func(s *apiServer) {
				s.say(logPath, http.StatusOK, "dsn=\xff postgres://app:hunter2@db:5432 password=hunter2")
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: "dsn=\uFFFD postgres://app:[redacted]@db:5432 password=[redacted]"},
		},
		"the container never ran before": {
			set: func(s *apiServer) {
				s.fail(logPath, fromNode(400, `previous terminated container "api" in pod "api-000" not found`))
			},
			want: snapshot.Answer{Outcome: snapshot.Absent, Error: `previous terminated container "api" in pod "api-000" not found`},
		},
		"the pod is gone": {
			set: func(s *apiServer) {
				s.fail(logPath, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "api-000"))
			},
			want: snapshot.Answer{Outcome: snapshot.Absent, Error: `pods "api-000" not found`},
		},
		"reading logs is forbidden": {
			set: func(s *apiServer) {
				s.fail(logPath, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "api-000", errors.New(`User "viewer" cannot get resource "pods/log"`)))
			},
			want: snapshot.Answer{Outcome: snapshot.Denied, Error: `pods "api-000" is forbidden: User "viewer" cannot get resource "pods/log"`},
		},
		"the kubelet is not there": {
			set: func(s *apiServer) { s.fail(logPath, dialed("dial tcp 10.0.0.11:10250: connect: connection refused")) },
			want: snapshot.Answer{
				Outcome: snapshot.Refused,
				Error:   `Get "https://10.0.0.11:10250/containerLogs/shop/api-000/api?limitBytes=1": dial tcp 10.0.0.11:10250: connect: connection refused`,
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			tc.set(s)
			_, client := collected(t, s, options(), podKind)
			tc.want.At = moment
			got := client.Answer(t.Context(), []snapshot.Question{question})
			if diff := cmp.Diff(map[snapshot.Question]snapshot.Answer{question: tc.want}, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			asked := s.requests(logPath)
			if want := logPath + "?container=api&limitBytes=65536&previous=true&tailLines=20"; len(asked) != 1 || asked[0] != want {
				t.Errorf("asked %v, want %s", asked, want)
			}
		})
	}
}

func TestALogThatNeverComes(t *testing.T) {
	inTime(t, func(t *testing.T, s *apiServer) {
		s.answer(logPath, hang)
		_, client := collected(t, s, options(), podKind)
		question := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-000", Container: "api"}
		want := snapshot.Answer{Outcome: snapshot.TimedOut, Error: "no answer in time", At: moment}
		if diff := cmp.Diff(map[snapshot.Question]snapshot.Answer{question: want}, client.Answer(t.Context(), []snapshot.Question{question})); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		if asked := s.requests(logPath); len(asked) != 1 {
			t.Errorf("asked %v, want once", asked)
		}
	})
}

func TestKubeletConnections(t *testing.T) {
	t.Parallel()
	question := snapshot.Question{Kind: snapshot.KubeletConnection, Name: "w1"}
	tests := map[string]struct {
		set  func(s *apiServer)
		want snapshot.Outcome
	}{
		"the kubelet answers":                    {func(s *apiServer) { s.say(logPath, http.StatusOK, "x") }, snapshot.Answered},
		"nothing listens":                        {func(s *apiServer) { s.fail(logPath, dialed("dial tcp 10.0.0.11:10250: connect: connection refused")) }, snapshot.Refused},
		"the machine is silent":                  {func(s *apiServer) { s.fail(logPath, dialed("dial tcp 10.0.0.11:10250: i/o timeout")) }, snapshot.TimedOut},
		"there is no route to it":                {func(s *apiServer) { s.fail(logPath, dialed("dial tcp 10.0.0.11:10250: connect: no route to host")) }, snapshot.TimedOut},
		"the kubelet hangs":                      {func(s *apiServer) { s.fail(logPath, dialed("net/http: TLS handshake timeout")) }, snapshot.TimedOut},
		"the kubelet has no serving certificate": {func(s *apiServer) { s.fail(logPath, dialed("remote error: tls: internal error")) }, snapshot.Answered},
		"the kubelet's certificate is not trusted": {func(s *apiServer) {
			s.fail(logPath, dialed("tls: failed to verify certificate: x509: certificate signed by unknown authority"))
		}, snapshot.Answered},
		"the kubelet says that the container waits": {func(s *apiServer) {
			s.fail(logPath, fromNode(400, `container "api" in pod "api-000" is waiting to start: ContainerCreating`))
		}, snapshot.Answered},
		"the kubelet does not know the pod":          {func(s *apiServer) { s.fail(logPath, fromNode(404, `pod "api-000" does not exist`)) }, snapshot.Answered},
		"the kubelet does not let the API server in": {func(s *apiServer) { s.fail(logPath, fromNode(403, "Forbidden (user=kube-apiserver-kubelet-client)")) }, snapshot.Answered},
		"the kubelet breaks":                         {func(s *apiServer) { s.fail(logPath, fromNode(500, "out of cheese")) }, snapshot.Answered},
		"this user may read no logs": {func(s *apiServer) {
			s.fail(logPath, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "api-000", nil))
		}, snapshot.Denied},
		"the pod is gone by now": {func(s *apiServer) {
			s.fail(logPath, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "api-000"))
		}, snapshot.Absent},
		"the tunnel to the nodes is down": {func(s *apiServer) { s.fail(logPath, dialed("No agent available")) }, snapshot.Errored},
		"the API server is not sure which container": {func(s *apiServer) {
			s.fail(logPath, apierrors.NewBadRequest("a container name must be specified for pod api-000"))
		}, snapshot.Absent},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			s.hold(podsPath, pods(1)...)
			tc.set(s)
			_, client := collected(t, s, options(), podKind)
			got := client.Answer(t.Context(), []snapshot.Question{question})
			want := map[snapshot.Question]snapshot.Answer{question: {Outcome: tc.want, At: moment}}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(snapshot.Answer{}, "Error")); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if asked := s.requests(logPath); len(asked) != 1 || !strings.Contains(asked[0], "limitBytes=1&tailLines=1") {
				t.Errorf("asked %v, want one byte once", asked)
			}
		})
	}
}

func TestAKubeletIsAskedThroughTheBestPod(t *testing.T) {
	pod := func(namespace, name string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       corev1.PodSpec{NodeName: "w1", Containers: []corev1.Container{{Name: "c"}}},
			Status:     corev1.PodStatus{Phase: phase},
		}
	}
	s := newAPIServer(t)
	s.hold(podsPath,
		pod("batch", "done", corev1.PodSucceeded), pod("kube-system", "new", corev1.PodPending),
		pod("kube-system", "proxy", corev1.PodRunning), pod("shop", "api", corev1.PodRunning))
	gone := apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "proxy")
	s.fail("/api/v1/namespaces/kube-system/pods/proxy/log", gone)
	s.say("/api/v1/namespaces/shop/pods/api/log", http.StatusOK, "x")
	_, client := collected(t, s, options(), podKind)

	w1 := snapshot.Question{Kind: snapshot.KubeletConnection, Name: "w1"}
	w2 := snapshot.Question{Kind: snapshot.KubeletConnection, Name: "w2"}
	got := client.Answer(t.Context(), []snapshot.Question{w1, w2})
	want := map[snapshot.Question]snapshot.Answer{
		w1: {Outcome: snapshot.Answered, At: moment},
		w2: {Outcome: snapshot.Absent, Error: "no pod is bound to node w2", At: moment},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/api/v1/namespaces/batch/pods/done/log", "/api/v1/namespaces/kube-system/pods/new/log"} {
		if asked := s.requests(path); len(asked) > 0 {
			t.Errorf("asked %v, and better pods are there", asked)
		}
	}
}

func TestWithoutTimeNothingIsAnswered(t *testing.T) {
	s := newAPIServer(t)
	_, client := collected(t, s, options(), podKind)
	before := client.Stats().Requests
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := client.Answer(ctx, []snapshot.Question{{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-000", Container: "api"}})
	if len(got) > 0 || client.Stats().Requests != before {
		t.Errorf("answers %v after %d requests, want none", got, client.Stats().Requests-before)
	}
}
