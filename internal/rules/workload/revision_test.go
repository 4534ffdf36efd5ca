package workload

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/snapshot"
)

func template() *corev1.PodTemplateSpec {
	return &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "front", appsv1.DefaultDeploymentUniqueLabelKey: "5d8f7c9b64"}},
		Spec: corev1.PodSpec{
			ServiceAccountName: "front",
			Containers: []corev1.Container{{
				Name: "app", Image: "registry.shop:5000/shop/front:2.4.0", Args: []string{"--port", "8080"},
				Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "hunter2"}},
				LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
					HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)},
				}},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}},
			}},
			Volumes: []corev1.Volume{{Name: "conf", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "front"},
			}}}},
		},
	}
}

func TestTemplateChangesTellWhatDiffers(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*corev1.PodTemplateSpec)
		want []change
		text string
	}{
		"nothing but the hash label": {
			edit: func(p *corev1.PodTemplateSpec) { p.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = "other" },
		},
		"the image comes before the port of a probe": {
			edit: func(p *corev1.PodTemplateSpec) {
				p.Spec.Containers[0].LivenessProbe.HTTPGet.Port = intstr.FromInt32(9090)
				p.Spec.Containers[0].Image = "registry.shop:5000/shop/front:2.4.1"
			},
			want: []change{
				{Path: ".spec.containers[app].image", Old: "registry.shop:5000/shop/front:2.4.0", New: "registry.shop:5000/shop/front:2.4.1"},
				{Path: ".spec.containers[app].livenessProbe.httpGet.port", Old: "8080", New: "9090"},
			},
			text: "containers[app].image changed 2.4.0 -> 2.4.1, containers[app].livenessProbe.httpGet.port changed 8080 -> 9090",
		},
		"an image of another repository is told whole": {
			edit: func(p *corev1.PodTemplateSpec) { p.Spec.Containers[0].Image = "shop/back:1" },
			want: []change{{Path: ".spec.containers[app].image", Old: "registry.shop:5000/shop/front:2.4.0", New: "shop/back:1"}},
			text: "containers[app].image changed registry.shop:5000/shop/front:2.4.0 -> shop/back:1",
		},
		"an environment variable without its value": {
			edit: func(p *corev1.PodTemplateSpec) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "PASSWORD", Value: "correct horse"}, {Name: "TOKEN", Value: "battery"}}
			},
			want: []change{
				{Path: ".spec.containers[app].env[PASSWORD].value"},
				{Path: ".spec.containers[app].env[TOKEN]", Kind: added},
			},
			text: "containers[app].env[PASSWORD].value changed, containers[app].env[TOKEN] added",
		},
		"a limit, a volume's source and the service account": {
			edit: func(p *corev1.PodTemplateSpec) {
				p.Spec.Containers[0].Resources.Limits[corev1.ResourceMemory] = resource.MustParse("5Mi")
				p.Spec.Volumes[0].ConfigMap.Name = "front-v2"
				p.Spec.ServiceAccountName = ""
			},
			want: []change{
				{Path: ".spec.containers[app].resources.limits.memory", Old: "128Mi", New: "5Mi"},
				{Path: ".spec.volumes[conf].configMap.name", Old: "front", New: "front-v2"},
				{Path: ".spec.serviceAccountName", Old: "front", Kind: removed},
			},
			text: "containers[app].resources.limits.memory changed 128Mi -> 5Mi, volumes[conf].configMap.name changed front -> front-v2, " +
				"serviceAccountName removed (was front)",
		},
		"a container more, without what it holds, and more changes than are told": {
			edit: func(p *corev1.PodTemplateSpec) {
				p.Spec.Containers[0].Command = []string{"sh", "-c", "exit 1"}
				p.Spec.Containers[0].Args = nil
				p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "hunter2"}}})
				p.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "2026-03-02T01:39:00Z"}
			},
			want: []change{
				{Path: ".spec.containers[app].command", New: "sh -c exit 1", Kind: added},
				{Path: ".spec.containers[app].args", Old: "--port 8080", Kind: removed},
				{Path: ".spec.containers[side]", Kind: added},
				{Path: ".metadata.annotations[kubectl.kubernetes.io/restartedAt]", New: "2026-03-02T01:39:00Z", Kind: added},
			},
			text: "containers[app].command added: sh -c exit 1, containers[app].args removed (was --port 8080), containers[side] added, and 1 more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			newer := template()
			tc.edit(newer)
			got := templateChanges(template(), newer)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.text, tellChanges(got).EN); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRevisionNamesOnlyWhoeverMadeIt(t *testing.T) {
	made := time.Date(2026, 3, 2, 1, 39, 2, 0, time.UTC)
	for name, tc := range map[string]struct {
		written time.Time
		history string
		want    string
	}{
		"who wrote last, when an old ReplicaSet was taken up again": {
			written: made.Add(2 * time.Hour), history: "12",
			want: `containers[app].image changed 2.4.0 -> 2.4.1 at 03:39 UTC by "ci" (revision 17)`,
		},
		"the manager that wrote the Deployment just before": {
			written: made.Add(-time.Second),
			want:    `containers[app].image changed 2.4.0 -> 2.4.1 at 01:39 UTC by "ci" (revision 17)`,
		},
		"nobody, when the Deployment was written after": {
			written: made.Add(time.Hour),
			want:    `containers[app].image changed 2.4.0 -> 2.4.1 at 01:39 UTC (revision 17)`,
		},
		"nobody, when the Deployment was written long before": {
			written: made.Add(-time.Hour),
			want:    `containers[app].image changed 2.4.0 -> 2.4.1 at 01:39 UTC (revision 17)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "front", UID: "d",
				ManagedFields: []metav1.ManagedFieldsEntry{
					{Manager: "ci", Time: &metav1.Time{Time: tc.written}},
					{Manager: "kube-controller-manager", Subresource: "status", Time: &metav1.Time{Time: made.Add(2 * time.Hour)}},
				},
			}}
			b := snapshot.NewBuilder(made.Add(3*time.Hour), snapshot.Source{Name: "test"})
			b.Add(d)
			b.Add(replicaSet(d, "front-a", "16", "2.4.0", made.Add(-24*time.Hour)))
			newest := replicaSet(d, "front-b", "17", "2.4.1", made)
			newest.Annotations["deployment.kubernetes.io/revision-history"] = tc.history
			b.Add(newest)
			s := b.Build()
			r, ok := revisionOf(s, d)
			if !ok {
				t.Fatal("no revision was found")
			}
			if got := r.text(s.Now()).EN; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func replicaSet(d *appsv1.Deployment, name, number, tag string, created time.Time) *appsv1.ReplicaSet {
	tpl := template()
	tpl.Spec.Containers[0].Image = "registry.shop:5000/shop/front:" + tag
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: name, CreationTimestamp: metav1.Time{Time: created},
			Annotations:     map[string]string{"deployment.kubernetes.io/revision": number},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Template: *tpl},
	}
}
