package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// canary is a secret that must not be in a dump, nor its base64.
const canary = "c4naryBird7Sings0verTheSea"

// troubled are objects of a workload in trouble that hold the canary wherever people put secrets.
func troubled() []client.Object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{"example.com/copy": canary}}
	}
	labels := map[string]string{"app": "api"}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"checksum/config": canary}},
		Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "csi.example.com", VolumeAttributes: map[string]string{"key": canary}}}}},
			Containers: []corev1.Container{{
				Name: "api", Image: "example.com/api:1", Command: []string{"sh", "-c", "PASSWORD=" + canary + " exec api"}, Args: []string{"--token", canary, "postgres://app:" + canary + "@db/shop"},
				Env: []corev1.EnvVar{
					{Name: "PASSWORD", Value: canary},
					{Name: "KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "missing"}, Key: "key"}}},
				},
				LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
					Path: "/live?token=" + canary, Port: intstr.FromInt32(80), HTTPHeaders: []corev1.HTTPHeader{{Name: "Authorization", Value: "Bearer " + canary}},
				}}},
			}},
		},
	}
	pod := &corev1.Pod{ObjectMeta: meta("api-0"), Spec: *template.Spec.DeepCopy()}
	pod.Labels = labels
	return []client.Object{
		&corev1.Secret{ObjectMeta: meta("db"), StringData: map[string]string{"password": canary}},
		&corev1.ConfigMap{ObjectMeta: meta("settings"), Data: map[string]string{"dsn": canary}},
		&appsv1.Deployment{ObjectMeta: meta("api"), Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}},
		pod,
		&corev1.Service{ObjectMeta: meta("api"), Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80}}}},
		&networkingv1.Ingress{ObjectMeta: meta("api"), Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "api", Port: networkingv1.ServiceBackendPort{Number: 80}},
		}}},
		&corev1.Event{
			ObjectMeta: meta("api-0.1"), InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "api-0"},
			Reason: "Failed", Type: corev1.EventTypeWarning, Message: "cannot log in with password=" + canary,
		},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "troubled"}, Provisioner: "csi.example.com", Parameters: map[string]string{"userKey": canary}},
		&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "troubled"}, Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "csi.example.com", VolumeHandle: "x", VolumeAttributes: map[string]string{"userKey": canary},
			}},
		}},
	}
}

func TestADumpTellsWhatTheClusterDidAndNoSecret(t *testing.T) {
	c, err := client.New(admin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range append(troubled(), planted(t)...) {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatalf("making %T %s: %v", o, o.GetName(), err)
		}
		t.Cleanup(func() {
			if err := c.Delete(context.WithoutCancel(t.Context()), o, client.GracePeriodSeconds(0)); err != nil {
				t.Error(err)
			}
		})
	}
	pod := &corev1.Pod{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "api-0"}, pod); err != nil {
		t.Fatal(err)
	}
	began := metav1.NewTime(time.Now().Add(-time.Hour))
	pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, StartTime: &began, Message: "token=" + canary, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "api", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "Authorization: Bearer " + canary}},
	}}}
	if err := c.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}

	plantNest(t.Context(), t, c)
	plantInStatus(t.Context(), t, c)

	config := adminKubeconfig(t)
	dir := filepath.Join(t.TempDir(), "dump")
	start := time.Now()
	if code, out := kubectlMaek(t, t.Context(), "dump", "--kubeconfig", config, "-o", dir); code != exit.OK {
		t.Fatalf("dump: exit code %d\n%s", code, out)
	}
	took, size, files := time.Since(start), int64(0), 0
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		size, files = size+int64(len(data)), files+1
		silent(t, name, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files of %d bytes in %s", files, size, took.Round(time.Millisecond))

	for _, output := range []string{"terminal", "json", "yaml", "markdown", "html", "junit", "sarif"} {
		for _, from := range [][]string{{"--kubeconfig", config}, {"--from", dir}} {
			_, out := kubectlMaek(t, t.Context(), append(from, "-o", output, "--events")...)
			silent(t, "the report "+output+" of "+from[0], []byte(out))
		}
	}

	onlyReads(t)

	live, replayed := diagnosisOf(t, "--kubeconfig", config), diagnosisOf(t, "--from", dir)
	if len(replayed.Findings) == 0 {
		t.Error("nothing is found in a cluster in trouble")
	}
	if diff := cmp.Diff(untimed(live), untimed(replayed)); diff != "" {
		t.Errorf("what is said (-live +replayed):\n%s", diff)
	}
}

// onlyReads fails where a diagnosis sends anything but what reads, reviews access or creates on trial.
func onlyReads(t *testing.T) {
	t.Helper()
	cfg := rest.CopyConfig(admin)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			review := strings.HasPrefix(r.URL.Path, "/apis/authorization.k8s.io/v1/") && strings.HasSuffix(r.URL.Path, "subjectaccessreviews")
			trial := r.URL.Query().Get("dryRun") == metav1.DryRunAll
			if r.Method != http.MethodGet && !(r.Method == http.MethodPost && (review || trial)) {
				t.Errorf("%s %s may change something", r.Method, r.URL)
			}
			return next.RoundTrip(r)
		})
	})
	if d, _ := diagnose(t, cfg); len(d.Snapshot.Asked()) == 0 {
		t.Error("nothing was asked about a cluster in trouble")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// silent fails where a text holds the canary, enough of it to be of use, or its base64.
func silent(t *testing.T, name string, text []byte) {
	t.Helper()
	for _, shape := range []string{canary, canary[:8], "YzRuYXJ5QmlyZD"} {
		if at := bytes.Index(text, []byte(shape)); at >= 0 {
			t.Errorf("%s holds the secret: %s", name, text[max(0, at-200):min(len(text), at+40)])
			return
		}
	}
}

// untimed leaves of a diagnosis what a second look a moment later says too.
func untimed(d v1alpha1.Diagnosis) []string {
	var out []string
	for _, i := range d.Incidents {
		out = append(out, "incident "+i.ID+" "+i.Title)
	}
	for _, f := range d.Findings {
		out = append(out, fmt.Sprintf("%s %s %+v", f.Code, f.Severity, f.Subject))
	}
	return out
}

func diagnosisOf(t *testing.T, args ...string) v1alpha1.Diagnosis {
	t.Helper()
	var d v1alpha1.Diagnosis
	_, out := kubectlMaek(t, t.Context(), append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	return d
}

// adminKubeconfig is the path of a kubeconfig that may do everything.
func adminKubeconfig(t *testing.T) string {
	t.Helper()
	return apiserver.Kubeconfig(t, environment, "root", "system:masters")
}
