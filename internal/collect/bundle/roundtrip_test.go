package bundle

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 123456789, time.UTC)

var (
	podKind        = snapshot.KindOf[*corev1.Pod]()
	nodeKind       = snapshot.KindOf[*corev1.Node]()
	configMapKind  = snapshot.KindOf[*corev1.ConfigMap]()
	leaseKind      = snapshot.KindOf[*coordinationv1.Lease]()
	deploymentKind = snapshot.KindOf[*appsv1.Deployment]()
	eventKind      = snapshot.KindOf[*corev1.Event]()
	serviceKind    = snapshot.KindOf[*corev1.Service]()
	daemonSetKind  = snapshot.KindOf[*appsv1.DaemonSet]()
	namespaceKind  = snapshot.KindOf[*corev1.Namespace]()
)

var (
	logQuestion      = snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-0", Container: "api", Previous: true}
	emptyLogQuestion = snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-0", Container: "quiet"}
	deniedQuestion   = snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-1", Container: "api"}
	metricsQuestion  = snapshot.Question{Kind: snapshot.APIServerMetrics}
	configQuestion   = snapshot.Question{Kind: snapshot.KubeletConfig, Name: "w1"}
	rejectedQuestion = snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: "shop", Resource: "pods"}
	kubeletQuestion  = snapshot.Question{Kind: snapshot.KubeletConnection, Name: "w1"}
)

// everything is a snapshot with something in every corner.
func everything() *snapshot.Snapshot {
	second := metav1.NewTime(moment.Truncate(time.Second).Add(-time.Minute))
	micro := metav1.NewMicroTime(moment.Truncate(time.Microsecond).Add(-time.Second))
	b := snapshot.NewBuilder(moment, snapshot.Source{Name: "lab", Live: true})
	b.SetAPI(snapshot.API{
		Asked: true, Server: "10.0.0.1:6443", Version: "v1.36.3", CertificateNotAfter: moment.AddDate(1, 0, 0),
		Addresses: []snapshot.Address{{Address: "10.0.0.1:6443"}},
		Checks:    []snapshot.HealthCheck{{Name: "ping", OK: true}, {Name: "etcd", Message: "failed: reason withheld"}},
	})
	b.Add(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "w1", CreationTimestamp: second,
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet", Time: &second, FieldsV1: &metav1.FieldsV1{Raw: []byte("{}")}}},
		},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("2Gi")}},
	})
	b.Add(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "api-0", Labels: map[string]string{"app": "api"}, DeletionTimestamp: &second,
			Annotations: map[string]string{"maek.dev/note": "<&> \u2028", "deploy.kapp.k14s.io/original": "hunter2", corev1.LastAppliedConfigAnnotation: "hunter2"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "api", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "hunter2"}},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("web")}}},
		}}},
	})
	b.Add(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}, Data: map[string][]byte{"password": []byte("hunter2")}})
	b.Add(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Data: map[string]string{"dsn": "hunter2"}})
	b.Add(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: "w1"},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &micro, HolderIdentity: new("w1"), LeaseDurationSeconds: new(int32(40))},
	})
	b.SetCoverage(nodeKind, snapshot.Coverage{State: snapshot.Complete, ReadAt: moment, FromCache: true})
	b.SetCoverage(podKind, snapshot.Coverage{State: snapshot.Partial, Reason: "only namespace shop: forbidden", Namespace: "shop", ReadAt: moment})
	b.SetCoverage(snapshot.KindOf[*corev1.Secret](), snapshot.Coverage{State: snapshot.Complete, ReadAt: moment})
	b.SetCoverage(configMapKind, snapshot.Coverage{State: snapshot.Complete, ReadAt: moment})
	b.SetCoverage(leaseKind, snapshot.Coverage{State: snapshot.Complete, ReadAt: moment})
	b.SetCoverage(deploymentKind, snapshot.Coverage{State: snapshot.Forbidden, Reason: "deployments.apps is forbidden", ReadAt: moment})
	b.SetCoverage(eventKind, snapshot.Coverage{State: snapshot.Complete, ReadAt: moment})
	b.AddMachine(snapshot.MachineReport{
		TypeMeta: metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"},
		Machine:  "w1.example.com", Node: "w1", ObservedAt: second,
		Evidence: []snapshot.MachineEvidence{{Key: "unit/kubelet.service/active-state", Value: "failed", At: &second}},
	})
	b.AddUnreported("w2", "no agent runs there")
	b.AddCustom(&snapshot.CustomResource{
		Kind: gatewayKind, Phase: "Pending", PhasePath: ".status.phase", ObservedGeneration: new(int64(2)),
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 3, CreationTimestamp: second, Labels: map[string]string{"app": "web"}},
		Conditions: []metav1.Condition{{Type: "Programmed", Status: metav1.ConditionFalse, Reason: "No", Message: "none", LastTransitionTime: second}},
		Parents: []snapshot.ParentStatus{{
			Controller: "example.com/c", Parent: v1alpha1.Subject{Kind: "Gateway", Namespace: "shop", Name: "front"},
			Conditions: []metav1.Condition{{Type: "Accepted", Status: metav1.ConditionTrue, Reason: "Yes", LastTransitionTime: second}},
		}},
	})
	b.AddCustom(&snapshot.CustomResource{
		Kind: monitorKind, ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Phase: "Degraded", PhasePath: ".status.health.status", Suspended: true,
		Selects: &snapshot.MonitorSelection{Labels: metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}}, Namespaces: []string{"shop"}},
	})
	b.SetCustomCoverage(monitorKind, snapshot.Coverage{State: snapshot.Partial, Reason: "only the first 1 objects are read", ReadAt: moment})
	b.SetCustomCoverage(gatewayKind, snapshot.Coverage{State: snapshot.Complete, ReadAt: moment})
	b.SetCustomCoverage(widgetKind, snapshot.Coverage{State: snapshot.Failed, Reason: "conversion webhook for example.com/v1, Kind=Widget failed: x", ReadAt: moment})
	return b.Build().WithExpected([]snapshot.ExpectedNode{{Name: "w9", Source: "inventory hosts.txt"}}).With(map[snapshot.Question]snapshot.Answer{
		logQuestion:      {Outcome: snapshot.Answered, Text: "starting\n\npanic: no database \u2028", At: moment},
		emptyLogQuestion: {Outcome: snapshot.Answered, At: moment},
		deniedQuestion:   {Outcome: snapshot.Denied, Error: "forbidden", At: moment},
		kubeletQuestion:  {Outcome: snapshot.Refused, Error: "dial tcp: connection refused", At: moment},
		metricsQuestion:  {Outcome: snapshot.Answered, Text: "# TYPE etcd_requests_total counter\netcd_requests_total 7\n", At: moment},
		configQuestion:   {Outcome: snapshot.Answered, Text: `{"maxPods":110}`, At: moment},
		rejectedQuestion: {Outcome: snapshot.Rejected, Error: "exceeded quota", At: moment},
	})
}

// The plural of one is not what its kind suggests.
var (
	gatewayKind = snapshot.Kind{Group: "gateway.example.com", Version: "v1", Kind: "Gateway", Resource: "gateways-of-example"}
	monitorKind = snapshot.Kind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor", Resource: "servicemonitors"}
	widgetKind  = snapshot.Kind{Group: "example.com", Version: "v1", Kind: "Widget", Resource: "widgets"}
)

// contents is all that can be read from a snapshot, to compare by.
type contents struct {
	Now      time.Time
	Name     string
	API      snapshot.API
	Kinds    map[snapshot.Kind]snapshot.Coverage
	Objects  map[snapshot.Kind][]snapshot.Object
	Machines []snapshot.MachineReport
	Silent   map[string]string
	Answers  map[snapshot.Question]snapshot.Answer
	Custom   map[snapshot.Kind]snapshot.Coverage
	Customs  []*snapshot.CustomResource
	Expected []snapshot.ExpectedNode
}

func contentsOf(s *snapshot.Snapshot) contents {
	c := contents{
		Now: s.Now(), Name: s.Source().Name, API: s.API(), Kinds: map[snapshot.Kind]snapshot.Coverage{},
		Objects: map[snapshot.Kind][]snapshot.Object{}, Answers: map[snapshot.Question]snapshot.Answer{},
		Custom: map[snapshot.Kind]snapshot.Coverage{}, Customs: s.CustomResources(), Expected: s.ExpectedNodes(),
	}
	for _, k := range s.CustomKinds() {
		c.Custom[k] = s.CustomCoverage(k)
	}
	for _, k := range s.Kinds() {
		c.Kinds[k] = s.Coverage(k)
		s.Each(k, func(o snapshot.Object) {
			// Whether an object says what it is depends on the wire that it came over.
			o, _ = o.DeepCopyObject().(snapshot.Object)
			o.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind())
			c.Objects[k] = append(c.Objects[k], o)
		})
	}
	c.Machines, c.Silent = s.MachineReports(), s.Unreported()
	for _, q := range s.Asked() {
		c.Answers[q], _ = s.Answer(q)
	}
	return c
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	want := everything()
	missing := []finding.Skip{
		{Code: "SomeRule", Reason: finding.Text{EN: "no time", KO: "시간이 없었습니다"}}, {Reason: finding.Verbatim("verbatim")},
	}
	for _, name := range []string{"bundle", "bundle.tar", "bundle.tar.gz", "bundle.tgz", "deep/er/bundle"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := Write(t.Context(), path, want, WriteOptions{Program: "maek v0", Missing: missing}); err != nil {
				t.Fatal(err)
			}
			b, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(contentsOf(want), contentsOf(b.Snapshot())); diff != "" {
				t.Errorf("snapshot (-written +read):\n%s", diff)
			}
			if diff := cmp.Diff(missing, b.Gaps()); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			if b.Snapshot().Source().Live {
				t.Error("a bundle is said to be live")
			}
		})
	}
}

func TestABundleTellsNoSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bundle.tar")
	if err := Write(t.Context(), path, everything(), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "aHVudGVyMg"} {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("the bundle holds %q", secret)
		}
	}
}

func TestTheSameSnapshotGivesTheSameBytes(t *testing.T) {
	var first []byte
	for _, name := range []string{"a.tar.gz", "b.tar.gz"} {
		path := filepath.Join(t.TempDir(), name)
		if err := Write(t.Context(), path, everything(), WriteOptions{Program: "maek v0"}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		} else if !bytes.Equal(first, data) {
			t.Error("two writes differ")
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "there.tar.gz")
	full := filepath.Join(dir, "full")
	empty := filepath.Join(dir, "empty")
	for _, d := range []string{full, empty} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{file, filepath.Join(full, "mine")} {
		if err := os.WriteFile(f, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{file, full} {
		if err := Write(t.Context(), name, everything(), WriteOptions{}); err == nil || !strings.Contains(err.Error(), "something is there already") {
			t.Errorf("writing to %s: error %v", name, err)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "mine" {
		t.Errorf("the file holds %q now, error %v", data, err)
	}
	if err := Write(t.Context(), empty, everything(), WriteOptions{}); err != nil {
		t.Errorf("writing into an empty folder: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%d entries are in the folder, want the three from before; error %v", len(entries), err)
	}
}

func TestWhoComesFirstKeepsTheName(t *testing.T) {
	for _, name := range []string{"x.tar.gz", "x"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			// The other one is done while this one is still at its logs.
			overtaken := WriteOptions{Logs: func(func(Log) bool) {
				if err := Write(t.Context(), path, everything(), WriteOptions{Program: "the other"}); err != nil {
					t.Error(err)
				}
			}}
			if err := Write(t.Context(), path, everything(), overtaken); !errors.Is(err, ErrThere) {
				t.Errorf("error %v, want that something is there", err)
			}
			b, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(contentsOf(everything()), contentsOf(b.Snapshot())); diff != "" {
				t.Errorf("the other's bundle (-written +read):\n%s", diff)
			}
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "[.x]*")); err != nil || len(left) != 1 {
				t.Errorf("left are %v, error %v", left, err)
			}
		})
	}
}

// A snapshot comes from an API server that may be anybody's: a name in it must not lead anywhere.
func TestANameThatLeadsElsewhereIsNotWritten(t *testing.T) {
	for _, name := range []string{"bundle", "bundle.tar"} {
		b := snapshot.NewBuilder(moment, snapshot.Source{})
		b.AddMachine(snapshot.MachineReport{Node: "../../../../escaped"})
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := Write(t.Context(), filepath.Join(dir, "a", "b", name), b.Build(), WriteOptions{}); err == nil || !strings.Contains(err.Error(), "cannot be a file name") {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "escaped")); err == nil {
			t.Errorf("%s: written outside", name)
		}
	}
}
