package snapshot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func TestDefinedKindsAreThoseOfTheirDefinitions(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "config", "crd", "*.yaml"))
	if err != nil || len(paths) < 7 {
		t.Fatalf("%d definitions, %v", len(paths), err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &crd); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		want := Kind{Group: crd.Spec.Group, Version: crd.Spec.Versions[0].Name, Kind: crd.Spec.Names.Kind, Resource: crd.Spec.Names.Plural}
		got, ok := KindFor(schema.GroupVersionKind{Group: want.Group, Version: want.Version, Kind: want.Kind})
		if !ok || got != want {
			t.Errorf("%s: got %+v (%t), want %+v", path, got, ok, want)
		}
		if got.Namespaced() != (crd.Spec.Scope == apiextensionsv1.NamespaceScoped) {
			t.Errorf("%s: namespaced %t, and the definition says %s", path, got.Namespaced(), crd.Spec.Scope)
		}
		if !got.Defined() {
			t.Errorf("%s: it does not count as defined", path)
		}
		if list := got.NewList(); list == nil {
			t.Errorf("%s: there is no list of it", path)
		}
	}
	if KindOf[*corev1.Pod]().Defined() {
		t.Error("pods count as defined by a CustomResourceDefinition")
	}
}

func TestTrimKeepsOfATemplateWhatTellsWhatACheckDoes(t *testing.T) {
	full, err := json.Marshal(corev1.PodSpec{
		ServiceAccountName: "admin", Volumes: []corev1.Volume{{Name: "v"}},
		Containers: []corev1.Container{{Name: "main", Image: "kuberhealthy/daemonset-check:v3", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "hunter2"}}, Args: []string{"--token=abc"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const kept = `{"containers":[{"name":"main","image":"kuberhealthy/daemonset-check:v3"}]}`
	tests := map[string]struct{ raw, want string }{
		"a pod's spec":          {string(full), kept},
		"one that was trimmed":  {kept, kept},
		"a word":                {`"hunter2"`, `{}`},
		"a list":                {`[1]`, `{}`},
		"containers in a word":  {`{"containers":"hunter2"}`, `{}`},
		"nothing":               {`{}`, `{}`},
		"no JSON at all":        {``, `{}`},
		"fields of a later day": {`{"containers":[{"name":"a","image":"b","new":1}],"new":{}}`, `{"containers":[{"name":"a","image":"b"}]}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := func() runtime.RawExtension { return runtime.RawExtension{Raw: []byte(tc.raw)} }
			check := &khv1.KuberhealthyCheck{Spec: khv1.CheckSpec{PodSpec: spec(), ExtraAnnotations: map[string]string{"a": "b"}}}
			job := &khv1.KuberhealthyJob{Spec: khv1.JobSpec{PodSpec: spec()}}
			health := &khv2.HealthCheck{Spec: khv2.HealthCheckSpec{PodSpec: khv2.CheckPodSpec{Metadata: &khv2.CheckPodMetadata{Labels: map[string]string{"a": "b"}}, Spec: spec()}}}
			for range 2 {
				Trim(check)
				Trim(job)
				Trim(health)
				for _, got := range []runtime.RawExtension{check.Spec.PodSpec, job.Spec.PodSpec, health.Spec.PodSpec.Spec} {
					if string(got.Raw) != tc.want {
						t.Errorf("got %s, want %s", got.Raw, tc.want)
					}
				}
			}
			if check.Spec.ExtraAnnotations != nil || health.Spec.PodSpec.Metadata != nil {
				t.Error("what goes onto the pods is kept")
			}
		})
	}
	if got := CheckerImages(runtime.RawExtension{Raw: []byte(kept)}); !cmp.Equal(got, []string{"kuberhealthy/daemonset-check:v3"}) {
		t.Errorf("images: %v", got)
	}
}

func TestTrimBoundsWhatChecksSay(t *testing.T) {
	hostile := []string{strings.Repeat("w1 ", 400_000), strings.Repeat("x", 1<<20), "a\x00b \xff end"}
	for range 100 {
		hostile = append(hostile, strings.Repeat("한글 ", 300))
	}
	state := &khv1.KuberhealthyState{Spec: khv1.State{Errors: hostile}}
	Trim(state)
	total := 0
	for _, text := range state.Spec.Errors {
		total += len(text)
		if !utf8.ValidString(text) {
			t.Errorf("invalid: %q", text)
		}
	}
	if total > maxCheckErrorsBytes+maxCheckErrorBytes+8 {
		t.Errorf("%d bytes are kept", total)
	}
	if strings.Contains(state.Spec.Errors[1], "x") {
		t.Error("a word that was cut is kept: it may be half of a credential")
	}
	if !strings.HasSuffix(state.Spec.Errors[0], "w1 …") {
		t.Errorf("cut to %q", state.Spec.Errors[0][len(state.Spec.Errors[0])-20:])
	}
	short := &khv1.KuberhealthyState{Spec: khv1.State{Errors: []string{"one", "two"}}}
	Trim(short)
	if !cmp.Equal(short.Spec.Errors, []string{"one", "two"}) {
		t.Errorf("short texts became %q", short.Spec.Errors)
	}
}

func TestTrimKeepsWhomACheckAsks(t *testing.T) {
	for name, tc := range map[string]struct{ url, want string }{
		"a query":           {"https://api.example.com:8443/login?token=hunter2", "https://api.example.com:8443/login"},
		"no query":          {"http://front/healthz", "http://front/healthz"},
		"a user":            {"http://admin:hunter2@front/", "http://front/"},
		"what is no URL":    {"http://[::1?hunter2", ""},
		"what has no host":  {"/healthz?hunter2", ""},
		"a query of a name": {"http://front?hunter2", "http://front"},
	} {
		t.Run(name, func(t *testing.T) {
			check := &v1alpha1.Check{Spec: v1alpha1.CheckSpec{
				Target:    &v1alpha1.CheckTarget{URL: tc.url},
				Auth:      &v1alpha1.CheckAuth{Basic: &v1alpha1.SecretReference{Name: "hunter2"}},
				TLSConfig: &v1alpha1.CheckTLSConfig{ServerName: "hunter2"},
				Expect:    &v1alpha1.CheckExpectation{Matches: "hunter2"},
			}}
			check.Spec.HTTPGet = &corev1.HTTPGetAction{Host: "front", Path: "/a?hunter2"}
			for range 2 {
				Trim(check)
				if got := check.Spec.Target.URL; got != tc.want {
					t.Errorf("%q is left of it, want %q", got, tc.want)
				}
			}
			data, err := json.Marshal(check)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "hunter2") {
				t.Errorf("a secret is left in %s", data)
			}
			if check.Spec.HTTPGet.Host != "front" || check.Spec.HTTPGet.Path != "/a" {
				t.Errorf("whom it asks became %+v", check.Spec.HTTPGet)
			}
		})
	}
}

func TestTrimKeepsTheNewestOfARecord(t *testing.T) {
	r := &v1alpha1.CheckRecord{Hours: make([]v1alpha1.OutcomeSummary, 24), Days: make([]v1alpha1.OutcomeSummary, 30), Outcomes: make([]v1alpha1.Outcome, 60)}
	r.Outcomes[0].Reason = "newest"
	Trim(r)
	if r.Hours != nil || r.Days != nil || len(r.Outcomes) != maxCheckOutcomes || r.Outcomes[0].Reason != "newest" {
		t.Errorf("%d hours, %d days, %d outcomes", len(r.Hours), len(r.Days), len(r.Outcomes))
	}
}
