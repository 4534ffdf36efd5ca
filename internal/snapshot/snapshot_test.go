package snapshot

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }

func TestListIsSortedAndTheLastOfTwoOfOneNameCounts(t *testing.T) {
	b := NewBuilder(moment, Source{})
	for _, p := range []*corev1.Pod{
		{ObjectMeta: named("b")},
		{ObjectMeta: named("a")},
		{ObjectMeta: named("b"), Spec: corev1.PodSpec{NodeName: "w1"}},
	} {
		b.Add(p)
	}
	s := b.Build()
	var got []string
	for _, p := range List[*corev1.Pod](s) {
		got = append(got, p.Name+" on "+p.Spec.NodeName)
	}
	if diff := cmp.Diff([]string{"a on ", "b on w1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p, ok := Get[*corev1.Pod](s, "shop", "b"); !ok || p.Spec.NodeName != "w1" {
		t.Errorf("Get returned %v, %t", p, ok)
	}
}

func TestARestrictedViewRefusesWhatWasNotDeclared(t *testing.T) {
	b := NewBuilder(moment, Source{})
	b.Add(&corev1.Pod{ObjectMeta: named("a")})
	b.AddMachine(MachineReport{Node: "w1", Evidence: []MachineEvidence{
		{Key: "unit/kubelet.service/active-state", Value: "active"}, {Key: "disk/root/used-percent", Value: "41"},
	}})
	view := b.Build().Restrict([]Kind{KindOf[*corev1.Pod]()}, []EvidenceKey{"unit/*/active-state"})
	if n := len(List[*corev1.Pod](view)); n != 1 {
		t.Errorf("%d pods through the view, want 1", n)
	}
	machine, ok := view.Machine("w1")
	if got := machine.Value("unit/kubelet.service/active-state"); !ok || got != "active" {
		t.Errorf("the unit is %q through the view, want active", got)
	}
	refused := map[string]func(){
		"nodes is read but not declared":                                   func() { List[*corev1.Node](view) },
		"machine evidence disk/root/used-percent is read but not declared": func() { machine.Value("disk/root/used-percent") },
		"machine evidence unit/*/* is read but not declared":               func() { machine.Select("unit/*/*") },
	}
	for want, read := range refused {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}()
			read()
		}()
	}
}

func TestMachineEvidence(t *testing.T) {
	b := NewBuilder(moment, Source{})
	b.AddMachine(MachineReport{
		Node:  "w1",
		Reads: []MonitorRead{{Monitor: "filesystems"}, {Monitor: "units"}},
		Gaps:  []MachineGap{{Monitor: "units", Reason: "no bus"}},
		Evidence: []MachineEvidence{
			{Key: KeyOf("filesystem", "/var/lib", "used-percent"), Value: "41"},
			{Key: KeyOf("filesystem", "/", "used-percent"), Value: "97"},
			{Key: "filesystems/1/used-percent", Value: "1"},
		},
	})
	m, _ := b.Build().Machine("w1")
	if diff := cmp.Diff([]string{"/", "/var/lib"}, m.Names("filesystem/*/used-percent")); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if n, ok := m.Int(KeyOf("filesystem", "/", "used-percent")); !ok || n != 97 {
		t.Errorf("/ is %d %% full, %t; want 97", n, ok)
	}
	if !m.Looked("filesystems") || m.Looked("units") || m.Looked("cri") {
		t.Errorf("looked: filesystems %t, units %t, cri %t; want only filesystems", m.Looked("filesystems"), m.Looked("units"), m.Looked("cri"))
	}
}

func TestTrimKeepsNoValueThatMayBeSecret(t *testing.T) {
	const canary = "hunter2"
	container := corev1.Container{Name: "app", Env: []corev1.EnvVar{
		{Name: "PASSWORD", Value: canary},
		{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "token"}}},
	}}
	debugger := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Env: container.Env[:1]}}
	applied := metav1.ObjectMeta{Namespace: "shop", Name: "a", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: canary}}
	tests := map[string]struct{ object, want Object }{
		"a Secret keeps its keys": {
			object: &corev1.Secret{ObjectMeta: *applied.DeepCopy(), Data: map[string][]byte{"token": []byte(canary)}, StringData: map[string]string{"x": canary}},
			want:   &corev1.Secret{ObjectMeta: named("a"), Data: map[string][]byte{"token": nil}, StringData: map[string]string{}},
		},
		"a ConfigMap keeps its keys": {
			object: &corev1.ConfigMap{ObjectMeta: named("a"), Data: map[string]string{"k": canary}, BinaryData: map[string][]byte{"b": []byte(canary)}},
			want:   &corev1.ConfigMap{ObjectMeta: named("a"), Data: map[string]string{"k": ""}, BinaryData: map[string][]byte{"b": nil}},
		},
		"a Pod keeps the variables that refer to something": {
			object: &corev1.Pod{ObjectMeta: named("a"), Spec: corev1.PodSpec{Containers: []corev1.Container{*container.DeepCopy()}}},
			want:   &corev1.Pod{ObjectMeta: named("a"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Env: container.Env[1:]}}}},
		},
		"a Pod's ephemeral containers keep no more": {
			object: &corev1.Pod{ObjectMeta: named("a"), Spec: corev1.PodSpec{EphemeralContainers: []corev1.EphemeralContainer{*debugger.DeepCopy()}}},
			want:   &corev1.Pod{ObjectMeta: named("a"), Spec: corev1.PodSpec{EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug"}}}}},
		},
		"a Secret keeps no annotation": {
			object: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a", Annotations: map[string]string{"maek.dev/ignore": canary}}},
			want:   &corev1.Secret{ObjectMeta: named("a")},
		},
		"an object keeps the annotations that something reads": {
			object: &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a", Annotations: map[string]string{
				"deploy.kapp.k14s.io/original": canary, "objectset.rio.cattle.io/applied": canary, corev1.LastAppliedConfigAnnotation: canary,
				revisionAnnotation: "3", "maek.dev/ignore": "NodeGone",
			}}},
			want: &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a", Annotations: map[string]string{
				revisionAnnotation: "3", "maek.dev/ignore": "NodeGone",
			}}},
		},
		"a StatefulSet's claims keep no more": {
			object: &appsv1.StatefulSet{ObjectMeta: named("a"), Spec: appsv1.StatefulSetSpec{VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: *applied.DeepCopy()}}}},
			want:   &appsv1.StatefulSet{ObjectMeta: named("a"), Spec: appsv1.StatefulSetSpec{VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: named("a")}}}},
		},
		"a CronJob's Jobs keep no more": {
			object: &batchv1.CronJob{ObjectMeta: named("a"), Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"x": canary}}}}},
			want:   &batchv1.CronJob{ObjectMeta: named("a")},
		},
		"a ControllerRevision keeps no copy of the template": {
			object: &appsv1.ControllerRevision{ObjectMeta: named("a"), Data: runtime.RawExtension{Raw: []byte(canary)}, Revision: 2},
			want:   &appsv1.ControllerRevision{ObjectMeta: named("a"), Revision: 2},
		},
		"a Node drops its images": {
			object: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}, Status: corev1.NodeStatus{Images: []corev1.ContainerImage{{SizeBytes: 1}}}},
			want:   &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			Trim(tc.object)
			if diff := cmp.Diff(tc.want, tc.object); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func controlledBy(kind, name string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{Kind: kind, Name: name, Controller: new(true)}}
}

func TestWorkloadClimbsAsHighAsControllersLead(t *testing.T) {
	set := &appsv1.ReplicaSet{ObjectMeta: named("api-5d8")}
	set.OwnerReferences = controlledBy("Deployment", "api")
	tests := map[string]struct {
		owners []metav1.OwnerReference
		want   v1alpha1.Subject
	}{
		"by a ReplicaSet to its Deployment":              {controlledBy("ReplicaSet", "api-5d8"), v1alpha1.Subject{Kind: "Deployment", Namespace: "shop", Name: "api"}},
		"to a ReplicaSet that was not read":              {controlledBy("ReplicaSet", "gone"), v1alpha1.Subject{Kind: "ReplicaSet", Namespace: "shop", Name: "gone"}},
		"to a controller of any kind":                    {controlledBy("Rollout", "canary"), v1alpha1.Subject{Kind: "Rollout", Namespace: "shop", Name: "canary"}},
		"nowhere without a controller":                   {nil, v1alpha1.Subject{Kind: "Pod", Namespace: "shop", Name: "p"}},
		"nowhere from a static pod, which its node owns": {controlledBy("Node", "cp1"), v1alpha1.Subject{Kind: "Pod", Namespace: "shop", Name: "p"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: named("p")}
			pod.OwnerReferences = tc.owners
			b := NewBuilder(moment, Source{})
			b.Add(set.DeepCopy())
			b.Add(pod)
			s := b.Build()
			if got := s.Workload(pod); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if pods := s.PodsOf(tc.want); len(pods) != 1 {
				t.Errorf("%v has %d pods, want 1", tc.want, len(pods))
			}
		})
	}
}

func TestPodsSelected(t *testing.T) {
	b := NewBuilder(moment, Source{})
	for name, labels := range map[string]map[string]string{
		"both": {"app": "api", "tier": "back"}, "one": {"app": "api"}, "none": nil,
	} {
		b.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labels}})
	}
	b.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "elsewhere", Labels: map[string]string{"app": "api"}}})
	s := b.Build()
	tests := map[string]struct {
		selector map[string]string
		want     []string
	}{
		"every pair must match":             {map[string]string{"app": "api", "tier": "back"}, []string{"both"}},
		"in the namespace only":             {map[string]string{"app": "api"}, []string{"both", "one"}},
		"an empty selector selects nothing": {nil, nil},
		"an unknown label selects nothing":  {map[string]string{"app": "api", "x": "y"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range s.PodsSelected("shop", tc.selector) {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWriterTellsWhoLives(t *testing.T) {
	lease := func(holder string, renewed, managed time.Duration) *coordinationv1.Lease {
		l := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-scheduler"},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: &holder, LeaseDurationSeconds: new(int32(15)), RenewTime: new(metav1.NewMicroTime(moment.Add(-renewed))),
			},
		}
		if managed > 0 {
			l.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-scheduler", Time: new(metav1.NewTime(moment.Add(-managed)))}}
		}
		return l
	}
	tests := map[string]struct {
		lease *coordinationv1.Lease
		state State
		want  Liveness
	}{
		"renewed just now":                    {lease("cp1_1", 2*time.Second, 0), Complete, Alive},
		"one renewal late":                    {lease("cp1_1", 20*time.Second, 0), Complete, Alive},
		"run out":                             {lease("cp1_1", time.Minute, 0), Complete, Dead},
		"given up":                            {lease("", 2*time.Second, 0), Complete, Dead},
		"its holder's clock is slow by hours": {lease("cp1_1", 5*time.Hour, 2*time.Second), Complete, Alive},
		"its holder's clock is fast, and it is dead": {lease("cp1_1", -5*time.Hour, time.Hour), Complete, Dead},
		"there is none":        {nil, Complete, LivenessUnknown},
		"Leases are forbidden": {nil, Forbidden, LivenessUnknown},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder(moment, Source{})
			b.SetCoverage(KindOf[*coordinationv1.Lease](), Coverage{State: tc.state})
			if tc.lease != nil {
				b.Add(tc.lease)
			}
			got := b.Build().Writer(Scheduler)
			if got.State != tc.want {
				t.Errorf("%s, want %s (%+v)", got.State, tc.want, got)
			}
			if (got.State == LivenessUnknown) != (got.Reason != "") {
				t.Errorf("state %s with reason %q", got.State, got.Reason)
			}
		})
	}
}

func TestAnswersAreAddedWithoutTouchingTheSnapshotBefore(t *testing.T) {
	q := Question{Kind: KubeletConnection, Name: "w1"}
	before := NewBuilder(moment, Source{}).Build()
	after := before.With(map[Question]Answer{q: {Outcome: Refused}})
	if _, ok := before.Answer(q); ok {
		t.Error("the earlier snapshot has the answer too")
	}
	if a, ok := after.Answer(q); !ok || a.Outcome != Refused {
		t.Errorf("the answer is %v, %t", a, ok)
	}
	if diff := cmp.Diff([]Question{q}, after.Asked()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
