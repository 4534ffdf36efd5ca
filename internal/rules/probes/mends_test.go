package probes_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules/probes"
	"github.com/maek-dev/maek/internal/rules/ruletest"
	"github.com/maek-dev/maek/internal/snapshot"
)

// What a rule tells from a definition alone must be gone when the pods are made of the definition that its
// own patch leaves. Rules that judge events and statuses see those until the new pods have some.
func TestPatchesMend(t *testing.T) {
	static := []finding.Code{
		"ProbePortNotFound", "LivenessNoLaxerThanReadiness", "ReadinessProbeMissing", "ProbeAsksOtherHost", "ProbeTimingUnsuitable", "NoTimeToDrain",
	}
	for _, r := range probes.Catalog.Rules() {
		paths, err := filepath.Glob(filepath.Join("testdata", string(r.Code)+".*txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			t.Run(filepath.Base(path), func(t *testing.T) {
				s := ruletest.Objects(t, path)
				for _, f := range rule.Evaluate(t.Context(), s, []rule.Rule{r}, nil, rule.Budget{}).Findings {
					for _, remedy := range slices.Concat(f.Remedies.Now, f.Remedies.Later) {
						patch, ok := probes.PatchOf(remedy)
						if strings.Contains(remedy.Command, " patch ") && !ok {
							t.Errorf("%q is no patch that can be read back", remedy.Command)
						}
						if !ok || patch.Kind != "deployment" {
							continue
						}
						after := rule.Evaluate(t.Context(), patched(t, s, patch), []rule.Rule{r}, nil, rule.Budget{}).Findings
						if slices.Contains(static, r.Code) && slices.ContainsFunc(after, func(other finding.Finding) bool { return other.Subject == f.Subject }) {
							t.Errorf("%s about %v is still found after %s", r.Code, f.Subject, patch.Data)
						}
					}
				}
			})
		}
	}
}

// patched is a snapshot in which a Deployment is patched and its pods are made of what that leaves.
func patched(t *testing.T, s *snapshot.Snapshot, patch probes.Patch) *snapshot.Snapshot {
	t.Helper()
	b := snapshot.NewBuilder(s.Now(), s.Source())
	for _, k := range s.Kinds() {
		b.SetCoverage(k, s.Coverage(k))
		s.Each(k, func(o snapshot.Object) {
			switch o := o.(type) {
			case *appsv1.Deployment:
				if o.Namespace == patch.Namespace && o.Name == patch.Name {
					after := *o
					after.Spec.Template = patchedTemplate(t, o.Spec.Template, patch)
					b.Add(&after)
					return
				}
			case *corev1.Pod:
				if o.Namespace == patch.Namespace && s.Workload(o).Name == patch.Name {
					after := o.DeepCopy()
					after.Spec = patchedTemplate(t, corev1.PodTemplateSpec{Spec: o.Spec}, patch).Spec
					b.Add(after)
					return
				}
			}
			b.Add(o)
		})
	}
	return b.Build()
}

// patchedTemplate applies a patch as an API server does, and refuses fields that there are not.
func patchedTemplate(t *testing.T, template corev1.PodTemplateSpec, patch probes.Patch) corev1.PodTemplateSpec {
	t.Helper()
	before, err := json.Marshal(appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: template}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := strategicpatch.StrategicMergePatch(before, patch.Data, appsv1.Deployment{})
	if err != nil {
		t.Fatalf("applying %s: %v", patch.Data, err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	var after appsv1.Deployment
	if err := decoder.Decode(&after); err != nil {
		t.Fatalf("after %s: %v", patch.Data, err)
	}
	if len(after.Spec.Template.Spec.Containers) != len(template.Spec.Containers) {
		t.Errorf("%s changes the number of containers", patch.Data)
	}
	for _, c := range after.Spec.Template.Spec.Containers {
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil && actions(p) != 1 {
				t.Errorf("%s leaves a probe with %d actions", patch.Data, actions(p))
			}
		}
	}
	return after.Spec.Template
}

// actions of a probe, of which the API server takes exactly one.
func actions(p *corev1.Probe) int {
	n := 0
	for _, set := range []bool{p.Exec != nil, p.HTTPGet != nil, p.TCPSocket != nil, p.GRPC != nil} {
		if set {
			n++
		}
	}
	return n
}
