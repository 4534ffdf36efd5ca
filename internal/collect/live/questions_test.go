package live

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	statsv1alpha1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	configzPath   = "/api/v1/nodes/w1/proxy/configz"
	summaryPath   = "/api/v1/nodes/w1/proxy/stats/summary"
	reviewPath    = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
	ownReviewPath = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
	corednsPath   = "/api/v1/namespaces/kube-system/configmaps/coredns"
	tlsPath       = "/api/v1/namespaces/shop/secrets/tls"
	shopPodsPath  = "/api/v1/namespaces/shop/pods"
)

// holdOne makes a path answer with an object.
func (s *apiServer) holdOne(path string, obj runtime.Object) {
	s.answer(path, func(w http.ResponseWriter, r *http.Request) bool {
		k, _ := snapshot.KindOfObject(obj)
		obj.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind())
		s.encode(w, r, http.StatusOK, obj)
		return true
	})
}

// rbacDenies is how RBAC refuses.
func rbacDenies(verb, resource string) *apierrors.StatusError {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "",
		fmt.Errorf(`User "kim" cannot %s resource %q in API group "" in the namespace "shop"`, verb, resource))
}

func tlsSecret(s *apiServer, kind corev1.SecretType) *corev1.Secret {
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("hunter2")})
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "tls"}, Type: kind,
		Data: map[string][]byte{"tls.crt": append(certificatePEM(s.TLS), key...), "tls.key": key, "ca.crt": []byte("hunter2")},
	}
}

func TestWhatQuestionsAreAnswered(t *testing.T) {
	t.Parallel()
	config := snapshot.Question{Kind: snapshot.KubeletConfig, Name: "w1"}
	count := snapshot.Question{Kind: snapshot.ObjectCount, Resource: "pods"}
	cached := snapshot.Question{Kind: snapshot.ObjectCount, Resource: "pods", Cached: true}
	review := snapshot.Question{Kind: snapshot.AccessReview, User: "system:serviceaccount:shop:api", Verb: "get", Resource: "pods/log", Namespace: "shop"}
	own := snapshot.Question{Kind: snapshot.AccessReview, Verb: "list", Group: "apps", Resource: "deployments"}
	create := snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: "shop", Resource: "pods"}
	value := snapshot.Question{Kind: snapshot.ConfigMapValue, Namespace: "kube-system", Name: "coredns", Key: "Corefile"}
	certificate := snapshot.Question{Kind: snapshot.CertificateOf, Namespace: "shop", Name: "tls"}
	metrics := snapshot.Question{Kind: snapshot.APIServerMetrics}
	tests := map[string]struct {
		ask  snapshot.Question
		set  func(s *apiServer)
		want snapshot.Answer
	}{
		"a kubelet's configuration, without credentials": {
			ask: config,
			set: func(s *apiServer) {
				s.say(configzPath, http.StatusOK, `{"kubeletconfig":{"maxPods":110,"tlsPrivateKeyFile":"/etc/k.key","staticPodURL":"https://a:hunter2@x/","staticPodURLHeader":{"X":["hunter2"]}}}`)
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: `{"maxPods":110,"staticPodURL":"https://a:[redacted]@x/","tlsPrivateKeyFile":"/etc/k.key"}`},
		},
		"a kubelet that says nothing of the kind": {
			ask: config, set: func(s *apiServer) { s.say(configzPath, http.StatusOK, `[]`) },
			want: snapshot.Answer{Outcome: snapshot.Errored, Error: "the kubelet's /configz has no kubeletconfig"},
		},
		"a kubelet that is not there": {
			ask: config,
			set: func(s *apiServer) {
				s.say(configzPath, http.StatusServiceUnavailable, "error trying to reach service: dial tcp 10.0.0.11:10250: connect: connection refused")
			},
			want: snapshot.Answer{Outcome: snapshot.Refused, Error: "error trying to reach service: dial tcp 10.0.0.11:10250: connect: connection refused"},
		},
		"how many objects there are": {
			ask: count,
			set: func(s *apiServer) {
				s.say(podsPath, http.StatusOK, `{"kind":"Table","metadata":{"continue":"x","remainingItemCount":41},"columnDefinitions":[{}],"rows":[{"cells":["a"]}]}`)
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: "42"},
		},
		"how many objects the watch cache has": {
			ask: cached,
			set: func(s *apiServer) {
				s.answer(podsPath, func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("resourceVersion") != "0" || r.URL.Query().Get("includeObject") != "None" {
						return false
					}
					_, _ = w.Write([]byte(`{"kind":"Table","metadata":{},"rows":[{"cells":["a"]},{"cells":["b"]}]}`))
					return true
				})
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: "2"},
		},
		"a list that does not say how far it goes on": {
			ask:  count,
			set:  func(s *apiServer) { s.say(podsPath, http.StatusOK, `{"metadata":{"continue":"x"},"rows":[{}]}`) },
			want: snapshot.Answer{Outcome: snapshot.Errored, Error: "counting: the list goes on, and the server does not say how far"},
		},
		"a count that is refused": {
			ask: count, set: func(s *apiServer) { s.fail(podsPath, rbacDenies("list", "pods")) },
			want: snapshot.Answer{Outcome: snapshot.Denied, Error: `pods is forbidden: User "kim" cannot list resource "pods" in API group "" in the namespace "shop"`},
		},
		"what a ServiceAccount may do": {
			ask: review,
			set: func(s *apiServer) {
				s.answer(reviewPath, func(w http.ResponseWriter, r *http.Request) bool {
					var sent struct {
						Spec struct {
							User       string
							Groups     []string
							Attributes map[string]string `json:"resourceAttributes"`
						}
					}
					if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
						s.t.Error(err)
					}
					attributes := map[string]string{"namespace": "shop", "verb": "get", "resource": "pods", "subresource": "log"}
					if diff := cmp.Diff(attributes, sent.Spec.Attributes); diff != "" || len(sent.Spec.Groups) != 3 || sent.Spec.Groups[2] != "system:serviceaccounts:shop" {
						s.t.Errorf("groups %v, attributes:\n%s", sent.Spec.Groups, diff)
					}
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(`{"status":{"allowed":true}}`))
					return true
				})
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: "allowed"},
		},
		"what this user may not do": {
			ask: own, set: func(s *apiServer) {
				s.say(ownReviewPath, http.StatusCreated, `{"status":{"allowed":false,"reason":"no RBAC policy matched"}}`)
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: "denied", Error: "no RBAC policy matched"},
		},
		"an authorizer that fails": {
			ask: own, set: func(s *apiServer) {
				s.say(ownReviewPath, http.StatusCreated, `{"status":{"allowed":false,"evaluationError":"webhook is down"}}`)
			},
			want: snapshot.Answer{Outcome: snapshot.Errored, Error: "webhook is down"},
		},
		"an object that would be admitted": {
			ask: create,
			set: func(s *apiServer) {
				s.answer(shopPodsPath, func(w http.ResponseWriter, r *http.Request) bool {
					var pod corev1.Pod
					if err := json.NewDecoder(r.Body).Decode(&pod); err != nil || r.Method != http.MethodPost || r.URL.Query().Get("dryRun") != "All" {
						s.t.Errorf("%s %s, error %v: this would be stored", r.Method, r.URL, err)
					}
					if pod.Kind != "Pod" || pod.GenerateName == "" || len(pod.Spec.Containers) != 1 {
						s.t.Errorf("sent %+v", pod)
					}
					w.WriteHeader(http.StatusCreated)
					return true
				})
			},
			want: snapshot.Answer{Outcome: snapshot.Answered},
		},
		"an object that a quota refuses": {
			ask: create, set: func(s *apiServer) {
				s.fail(shopPodsPath, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "x", errors.New("exceeded quota: compute")))
			},
			want: snapshot.Answer{Outcome: snapshot.Rejected, Error: `pods "x" is forbidden: exceeded quota: compute`},
		},
		"an object that a webhook cannot judge": {
			ask: create, set: func(s *apiServer) {
				s.fail(shopPodsPath, apierrors.NewInternalError(errors.New(`failed calling webhook "v.example.com": no endpoints available`)))
			},
			want: snapshot.Answer{Outcome: snapshot.Rejected, Error: `Internal error occurred: failed calling webhook "v.example.com": no endpoints available`},
		},
		"a user who may not create": {
			ask: create, set: func(s *apiServer) { s.fail(shopPodsPath, rbacDenies("create", "pods")) },
			want: snapshot.Answer{Outcome: snapshot.Denied, Error: `pods is forbidden: User "kim" cannot create resource "pods" in API group "" in the namespace "shop"`},
		},
		"a namespace that is gone": {
			ask: create, set: func(s *apiServer) {
				s.fail(shopPodsPath, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop"))
			},
			want: snapshot.Answer{Outcome: snapshot.Absent, Error: `namespaces "shop" not found`},
		},
		"a kind of which there is no trial object": {
			ask: snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: "shop", Resource: "widgets"}, set: func(*apiServer) {},
			want: snapshot.Answer{Outcome: snapshot.Errored, Error: "there is no trial object of widgets."},
		},
		"a value of a ConfigMap, redacted": {
			ask: value,
			set: func(s *apiServer) {
				s.holdOne(corednsPath, &corev1.ConfigMap{Data: map[string]string{"Corefile": ".:53 {\n  etcd {\n    credentials password=hunter2\n  }\n}"}})
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: ".:53 {\n  etcd {\n    credentials password=[redacted]\n  }\n}"},
		},
		"a key that is not there": {
			ask: value, set: func(s *apiServer) { s.holdOne(corednsPath, &corev1.ConfigMap{}) },
			want: snapshot.Answer{Outcome: snapshot.Absent, Error: "the ConfigMap has no key Corefile"},
		},
		"a Secret that holds no certificate for servers": {
			ask: certificate, set: func(s *apiServer) { s.holdOne(tlsPath, tlsSecret(s, corev1.SecretTypeOpaque)) },
			want: snapshot.Answer{Outcome: snapshot.Errored, Error: "the Secret is of type Opaque, and only certificates of type kubernetes.io/tls are read"},
		},
		"a Secret that this user may not read": {
			ask: certificate, set: func(s *apiServer) { s.fail(tlsPath, rbacDenies("get", "secrets")) },
			want: snapshot.Answer{Outcome: snapshot.Denied, Error: `secrets is forbidden: User "kim" cannot get resource "secrets" in API group "" in the namespace "shop"`},
		},
		"the metrics that rules read": {
			ask: metrics, set: func(s *apiServer) {
				s.say("/metrics", http.StatusOK, "# HELP etcd_requests_total x\n# TYPE etcd_requests_total counter\netcd_requests_total{operation=\"get\"} 7\n# TYPE other counter\nother 1\nprocess_start_time_seconds 1.7e9\n")
			},
			want: snapshot.Answer{Outcome: snapshot.Answered, Text: "# HELP etcd_requests_total x\n# TYPE etcd_requests_total counter\netcd_requests_total{operation=\"get\"} 7\nprocess_start_time_seconds 1.7e9\n"},
		},
		"an address that is nobody's": {
			ask: snapshot.Question{Kind: snapshot.Dial, Name: "192.0.2.1:22"}, set: func(*apiServer) {},
			want: snapshot.Answer{Outcome: snapshot.Denied, Error: "192.0.2.1:22 is not known as an address of this cluster's API server"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			_, client := collected(t, s, options())
			tc.set(s)
			tc.want.At = moment
			got := client.Answer(t.Context(), []snapshot.Question{tc.ask})
			if diff := cmp.Diff(map[snapshot.Question]snapshot.Answer{tc.ask: tc.want}, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOfATLSSecretOnlyTheCertificatesAreKept(t *testing.T) {
	s := newAPIServer(t)
	_, client := collected(t, s, options())
	s.holdOne(tlsPath, tlsSecret(s, corev1.SecretTypeTLS))
	q := snapshot.Question{Kind: snapshot.CertificateOf, Namespace: "shop", Name: "tls"}
	got := client.Answer(t.Context(), []snapshot.Question{q})[q]
	if want := string(certificatePEM(s.TLS)); got.Outcome != snapshot.Answered || got.Text != want {
		t.Errorf("answer %+v, want %s", got, want)
	}
}

func TestTheAPIServersOfTheClusterAreDialed(t *testing.T) {
	s := newAPIServer(t)
	closed := listening(t)
	_ = closed.Close()
	tcp := func(address string) int32 {
		var p int32
		if _, err := fmt.Sscanf(address[strings.LastIndex(address, ":")+1:], "%d", &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	s.hold("/apis/discovery.k8s.io/v1/endpointslices", &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"127.0.0.1"}}},
		Ports:      []discoveryv1.EndpointPort{{Port: new(tcp(closed.Addr().String()))}},
	})
	_, client := collected(t, s, options(), snapshot.KindOf[*discoveryv1.EndpointSlice]())
	open := snapshot.Question{Kind: snapshot.Dial, Name: s.Listener.Addr().String()}
	shut := snapshot.Question{Kind: snapshot.Dial, Name: closed.Addr().String()}
	got := client.Answer(t.Context(), []snapshot.Question{open, shut})
	leaf := s.Certificate()
	want := map[snapshot.Question]snapshot.Answer{
		open: {Outcome: snapshot.Answered, Text: leaf.NotAfter.UTC().Format("2006-01-02T15:04:05Z"), At: moment},
		shut: {Outcome: snapshot.Refused, Error: "connect: connection refused", At: moment},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// A node of 250 pods, each with volumes: the answer stays within its bound and names who uses most.
func TestAKubeletsStatsAreReducedToWhatRulesRead(t *testing.T) {
	const pods = 250
	summary := statsv1alpha1.Summary{Node: statsv1alpha1.NodeStats{
		NodeName: "w1", Memory: &statsv1alpha1.MemoryStats{AvailableBytes: new(uint64(1 << 30))},
		Network:          &statsv1alpha1.NetworkStats{},
		SystemContainers: []statsv1alpha1.ContainerStats{{Name: "kubelet", Rootfs: &statsv1alpha1.FsStats{}, CPU: &statsv1alpha1.CPUStats{}}},
	}}
	for i := range uint64(pods) {
		summary.Pods = append(summary.Pods, statsv1alpha1.PodStats{
			PodRef:           statsv1alpha1.PodReference{Namespace: "shop", Name: fmt.Sprintf("api-%03d", i)},
			Containers:       []statsv1alpha1.ContainerStats{{Name: "api"}},
			Memory:           &statsv1alpha1.MemoryStats{WorkingSetBytes: new(i), RSSBytes: new(i)},
			EphemeralStorage: &statsv1alpha1.FsStats{UsedBytes: new(pods - i)},
			VolumeStats: []statsv1alpha1.VolumeStats{
				{Name: "kube-api-access"},
				{Name: "data", PVCRef: &statsv1alpha1.PVCReference{Namespace: "shop", Name: "data"}, FsStats: statsv1alpha1.FsStats{AvailableBytes: new(i), CapacityBytes: new(uint64(1000))}},
			},
		})
	}
	body, err := json.Marshal(summary)
	if err != nil {
		t.Fatal(err)
	}
	s := newAPIServer(t)
	_, client := collected(t, s, options())
	s.say(summaryPath, http.StatusOK, string(body))
	q := snapshot.Question{Kind: snapshot.KubeletStats, Name: "w1"}
	answer := client.Answer(t.Context(), []snapshot.Question{q})[q]
	if answer.Outcome != snapshot.Answered || len(answer.Text) > collect.AnswerBytes {
		t.Fatalf("answer of %d bytes: %s %s", len(answer.Text), answer.Outcome, answer.Error)
	}
	var got statsv1alpha1.Summary
	dec := json.NewDecoder(bytes.NewReader([]byte(answer.Text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Node.Network != nil || got.Node.SystemContainers[0].Rootfs != nil || *got.Node.Memory.AvailableBytes != 1<<30 || got.Node.SystemContainers[0].CPU == nil {
		t.Errorf("node %+v", got.Node)
	}
	checkPods(t, got.Pods, pods)
}

// checkPods checks what is kept of pods of which number i uses i bytes of memory and has i free.
func checkPods(t *testing.T, got []statsv1alpha1.PodStats, pods uint64) {
	t.Helper()
	memory, disk, volumes := 0, 0, 0
	for _, p := range got {
		if p.Memory != nil {
			memory++
			if *p.Memory.WorkingSetBytes < pods-10 || p.Memory.RSSBytes != nil {
				t.Errorf("pod %s has memory %+v", p.PodRef.Name, p.Memory)
			}
		}
		if p.EphemeralStorage != nil {
			disk++
		}
		for _, v := range p.VolumeStats {
			volumes++
			if v.PVCRef == nil || *v.AvailableBytes >= 100 {
				t.Errorf("pod %s has volume %+v", p.PodRef.Name, v)
			}
		}
		if len(p.Containers) > 0 {
			t.Errorf("pod %s keeps containers", p.PodRef.Name)
		}
	}
	if memory != 10 || disk != 10 || volumes != 100 {
		t.Errorf("memory of %d pods, disk of %d, %d volumes; want 10, 10, 100", memory, disk, volumes)
	}
}
