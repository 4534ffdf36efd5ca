package probes

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// fields is a part of an object, as JSON has it; a nil value takes the field away.
type fields map[string]any

// templatePaths lead from a workload to the spec of its pods.
var templatePaths = map[string][]string{
	"Deployment": {"spec", "template", "spec"}, "ReplicaSet": {"spec", "template", "spec"}, "StatefulSet": {"spec", "template", "spec"},
	"DaemonSet": {"spec", "template", "spec"}, "ReplicationController": {"spec", "template", "spec"}, "Job": {"spec", "template", "spec"},
	"CronJob": {"spec", "jobTemplate", "spec", "template", "spec"},
}

// podField is the path of a field of the pod's spec within its workload.
func (f *family) podField(path string) string {
	lead, ok := templatePaths[f.workload.Kind]
	if !ok {
		lead = []string{"spec"}
	}
	return "." + strings.Join(lead, ".") + path
}

// field is the path of a field of the container within its workload.
func (at place) field(path string) string {
	return at.of.podField("." + at.list() + "[" + at.container.Name + "]" + path)
}

// list is the field of a pod's spec that holds the container.
func (at place) list() string {
	if at.init {
		return "initContainers"
	}
	return "containers"
}

// field is the path of a field of the probe within the workload.
func (p probe) field(path string) string { return p.place.field("." + p.name() + path) }

// name of the field that holds the probe.
func (p probe) name() string { return string(p.kind) + "Probe" }

// template is the template of a workload; nil where it could not be read.
func template(s *snapshot.Snapshot, w finding.Subject) (*corev1.PodTemplateSpec, snapshot.Object) {
	switch w.Kind {
	case "Deployment":
		if o, ok := snapshot.Get[*appsv1.Deployment](s, w.Namespace, w.Name); ok {
			return &o.Spec.Template, o
		}
	case "StatefulSet":
		if o, ok := snapshot.Get[*appsv1.StatefulSet](s, w.Namespace, w.Name); ok {
			return &o.Spec.Template, o
		}
	case "DaemonSet":
		if o, ok := snapshot.Get[*appsv1.DaemonSet](s, w.Namespace, w.Name); ok {
			return &o.Spec.Template, o
		}
	case "CronJob":
		if o, ok := snapshot.Get[*batchv1.CronJob](s, w.Namespace, w.Name); ok {
			return &o.Spec.JobTemplate.Spec.Template, o
		}
	}
	return nil, nil
}

// mend changes fields of the container in its workload's template: a strategic merge patch finds the
// container by its name.
func (at place) mend(s *snapshot.Snapshot, change fields, text finding.Text) finding.Remedy {
	if t, _ := template(s, at.of.workload); t != nil && !slices.ContainsFunc(slices.Concat(t.Spec.InitContainers, t.Spec.Containers), func(c corev1.Container) bool { return c.Name == at.container.Name }) {
		return finding.Remedy{Text: finding.Join("; ", text, finding.Textf(
			"the template has no container %s: change it where what adds the container to the pods is configured",
			"template에 %s 컨테이너가 없으므로 Pod에 이 컨테이너를 추가하는 쪽의 설정을 바꾸십시오", at.container.Name))}
	}
	named := fields{"name": at.container.Name}
	maps.Copy(named, change)
	return at.of.mend(s, fields{at.list(): []any{named}}, text)
}

// mend changes fields of the pods' spec in the workload's template. Where the object takes no such patch,
// the text says what to do instead.
func (f *family) mend(s *snapshot.Snapshot, change fields, text finding.Text) finding.Remedy {
	lead, patchable := templatePaths[f.workload.Kind]
	var by finding.Text
	if _, o := template(s, f.workload); o != nil {
		if manager, _ := snapshot.LastManager(o); manager != "" && !strings.HasPrefix(manager, "kubectl") {
			by = finding.Textf("correct it where %q takes it from, too, or it comes back", "%q에서 사용하는 원본도 바로잡지 않으면 다시 적용됩니다", manager)
		}
	}
	switch {
	case snapshot.StaticPod(f.pods[0]):
		return finding.Remedy{Text: finding.Join("; ", text, finding.Textf(
			"in the pod's manifest file on node %s; the kubelet restarts the pod by itself",
			"노드 %s에 있는 Pod의 manifest 파일을 고치십시오. kubelet이 Pod를 스스로 다시 시작합니다", f.pods[0].Spec.NodeName))}
	case f.workload.Kind == "Job" || f.workload.Kind == "Pod":
		return finding.Remedy{Text: finding.Join("; ", text, finding.Textf(
			"probes of a %s that exists cannot be changed: correct its definition and create it anew",
			"이미 있는 %s의 probe는 바꿀 수 없으므로 정의를 고치고 다시 생성하십시오", f.workload.Kind))}
	case !patchable:
		return finding.Remedy{Text: finding.Join("; ", text, finding.Textf(
			"in the pod template of %s", "%s의 Pod template에서 고치십시오", finding.Named(f.workload)), by)}
	}
	var whole any = change
	for _, step := range slices.Backward(lead) {
		whole = fields{step: whole}
	}
	data, err := json.Marshal(whole)
	if err != nil || strings.Contains(string(data), secret.Blot) {
		return finding.Remedy{Text: finding.Join("; ", text, by), Command: fmt.Sprintf("kubectl -n %s edit %s", f.workload.Namespace, argument(f.workload))}
	}
	return finding.Remedy{
		Text: finding.Join("; ", text, by),
		Command: fmt.Sprintf("kubectl -n %s patch %s --type=strategic -p '%s'",
			f.workload.Namespace, argument(f.workload), strings.ReplaceAll(string(data), "'", `'\''`)),
	}
}

// argument names a workload as kubectl takes it: deployment/front.
func argument(s finding.Subject) string { return strings.ToLower(s.Kind) + "/" + s.Name }

// Patch is what a remedy of this folder sends to the API server.
type Patch struct {
	// Namespace of the object.
	Namespace string
	// Kind of the object as kubectl takes it, in lower case: "deployment".
	Kind string
	// Name of the object.
	Name string
	// Type of the patch as kubectl takes it: "strategic", "merge" or "json".
	Type string
	// Data is the patch, in JSON.
	Data json.RawMessage
}

// patchCommand is what mend writes.
var patchCommand = regexp.MustCompile(`^kubectl -n (\S+) patch ([a-z]+)/(\S+) --type=(strategic|merge|json) -p '(.*)'$`)

// PatchOf is the patch that a remedy's command applies; false where the remedy is to be done by hand.
func PatchOf(r finding.Remedy) (Patch, bool) {
	m := patchCommand.FindStringSubmatch(r.Command)
	if m == nil {
		return Patch{}, false
	}
	data := json.RawMessage(strings.ReplaceAll(m[5], `'\''`, "'"))
	return Patch{Namespace: m[1], Kind: m[2], Name: m[3], Type: m[4], Data: data}, json.Valid(data)
}
