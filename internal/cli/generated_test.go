package cli

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/install"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/rules"
)

//go:generate go test . -run ^TestGeneratedFilesAreCurrent$ -update

// module is where the module's own files lie, seen from this folder.
const module = "../.."

// TestGeneratedFilesAreCurrent holds the files that are made of the rules against the rules.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	all := rules.All()
	files := map[string]func(*bytes.Buffer) error{
		"config/rbac/read_only.yaml": func(b *bytes.Buffer) error {
			return install.Document(b, install.Role(all))
		},
	}
	for path, write := range files {
		t.Run(path, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(module, path)
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(read(t, path), got.String()); diff != "" {
				t.Errorf("it is out of date, run make generate (-is +should be):\n%s", diff)
			}
		})
	}
}

func TestRoleGrantsNothingButReading(t *testing.T) {
	for _, r := range install.Role(rules.All()).Rules {
		for _, verb := range r.Verbs {
			if verb != "list" && verb != "get" {
				t.Errorf("verb %q on %v", verb, r.Resources)
			}
		}
		for _, list := range [][]string{r.APIGroups, r.Resources, r.Verbs, r.NonResourceURLs} {
			if slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, "*") }) {
				t.Errorf("a wildcard in %v", r)
			}
		}
		if slices.Contains(r.Resources, "secrets") {
			t.Error("it reads Secrets")
		}
	}
}

// TestInstallPrintsWhatCanBeApplied decodes every document that install prints, strictly where it
// is of a kind that the test knows, and holds their order.
func TestInstallPrintsWhatCanBeApplied(t *testing.T) {
	got := run(t, t.Context(), "install", "-n", "ops")
	if got.code != 0 || got.errOut != "" {
		t.Fatalf("exit code %d, %s", got.code, got.errOut)
	}
	var names []string
	for doc := range strings.SplitSeq(strings.TrimPrefix(got.out, "---\n"), "\n---\n") {
		var head struct {
			APIVersion, Kind string
			Metadata         struct{ Name, Namespace string }
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		names = append(names, strings.Trim(head.Kind+" "+head.Metadata.Namespace+"/"+head.Metadata.Name, "/ "))
		if head.Kind == "ClusterRoleBinding" {
			var binding rbacv1.ClusterRoleBinding
			if err := yaml.UnmarshalStrict([]byte(doc), &binding); err != nil {
				t.Fatal(err)
			}
			account := map[string]string{"maek-read-only": "maek", "maek-operator": "maek-operator"}[owner(head.Metadata.Name)]
			if account == "" {
				account = strings.TrimPrefix(head.Metadata.Name, "ops-")
			}
			want := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "ops", Name: account}}
			if diff := cmp.Diff(want, binding.Subjects); diff != "" {
				t.Errorf("the role is bound to others (-want +got):\n%s", diff)
			}
		}
	}
	role := func(name string) []string { return []string{"ClusterRole /" + name, "ClusterRoleBinding /" + name} }
	want := slices.Concat(
		[]string{
			"Namespace /ops",
			"CustomResourceDefinition /khchecks.comcast.github.io", "CustomResourceDefinition /khjobs.comcast.github.io",
			"CustomResourceDefinition /khstates.comcast.github.io", "CustomResourceDefinition /healthchecks.kuberhealthy.github.io",
			"CustomResourceDefinition /checkpolicies.maek.dev", "CustomResourceDefinition /checkrecords.maek.dev",
			"CustomResourceDefinition /checks.maek.dev", "CustomResourceDefinition /incidents.maek.dev",
			"ServiceAccount ops/maek",
		},
		role("maek-read-only"),
		[]string{"ServiceAccount ops/maek-operator"},
		role("maek-operator-checks"), role("maek-operator-targets"), role("maek-operator-incidents"), role("maek-operator-callers"),
		[]string{
			// Namespaces bind them where they want that.
			"ClusterRole /maek-check-secrets", "ClusterRole /maek-check-exec", "ClusterRole /maek-check-in-service",
			"Role ops/maek-operator", "RoleBinding ops/maek-operator",
			"Service ops/kuberhealthy", "PodDisruptionBudget ops/maek-operator", "Deployment ops/maek-operator",
			"ServiceAccount ops/maek-check-daemonset", "Role ops/maek-check-daemonset", "RoleBinding ops/maek-check-daemonset",
		},
		role("ops-maek-check-daemonset"),
		[]string{
			"KuberhealthyCheck ops/daemonset",
			"ServiceAccount ops/maek-check-deployment", "Role ops/maek-check-deployment", "RoleBinding ops/maek-check-deployment",
			"KuberhealthyCheck ops/deployment",
			"ServiceAccount ops/maek-check-dns",
		},
		role("ops-maek-check-dns"),
		[]string{"KuberhealthyCheck ops/dns-status-internal"},
	)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

// owner is the program that a cluster role of ours is for.
func owner(role string) string {
	for _, program := range []string{"maek-read-only", "maek-operator"} {
		if strings.HasPrefix(role, program) {
			return program
		}
	}
	return ""
}

// TestJSONKeepsItsContract validates real output against the schema in docs/.
func TestJSONKeepsItsContract(t *testing.T) {
	var schema spec.Schema
	if err := json.Unmarshal([]byte(read(t, filepath.Join(module, "docs/diagnosis.schema.json"))), &schema); err != nil {
		t.Fatal(err)
	}
	validator := validate.NewSchemaValidator(&schema, nil, "", strfmt.Default)
	outputs := map[string]string{
		"demo":    run(t, t.Context(), "demo", "-o", "json").out,
		"live":    run(t, t.Context(), "-o", "json", "--kubeconfig", serve(t, cluster(map[string]bool{"w1": false}, "cart-1"))).out,
		"nothing": run(t, t.Context(), "-o", "json", "--kubeconfig", kubeconfig(t, "http://127.0.0.1:1")).out,
	}
	for name, out := range outputs {
		t.Run(name, func(t *testing.T) {
			var doc map[string]any
			if err := json.Unmarshal([]byte(out), &doc); err != nil {
				t.Fatal(err)
			}
			for _, err := range validator.Validate(doc).Errors {
				t.Error(err)
			}
			doc["verdict"] = "Fine"
			if validator.Validate(doc).IsValid() {
				t.Error("the schema takes a verdict that does not exist")
			}
		})
	}
}

func TestWordsOfTheCommandLine(t *testing.T) {
	cases := map[string]struct {
		args   []string
		golden string
	}{
		"help":                      {[]string{"--help"}, "help.txt"},
		"help of dump":              {[]string{"dump", "--help"}, "help-dump.txt"},
		"help of machine":           {[]string{"machine", "--help"}, "help-machine.txt"},
		"the list of rules":         {[]string{"rules"}, "rules.txt"},
		"the list in Korean":        {[]string{"rules", "--lang", "ko"}, "rules.ko.txt"},
		"the list for programs":     {[]string{"rules", "-o", "json"}, "rules.json"},
		"a rule":                    {[]string{"explain", "NodeGone"}, "explain.txt"},
		"a rule, whatever its case": {[]string{"explain", "nodegone"}, "explain.txt"},
		"a rule in Korean":          {[]string{"explain", "PodFailed", "--lang=ko"}, "explain.ko.txt"},
		"the version":               {[]string{"version"}, "version.txt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := run(t, t.Context(), tc.args...)
			if got.code != 0 || got.errOut != "" {
				t.Fatalf("exit code %d, %s", got.code, got.errOut)
			}
			golden(t, tc.golden, got.out)
		})
	}
}

func TestCompletionForEveryShell(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := run(t, t.Context(), "completion", shell); got.code != 0 || !strings.Contains(got.out, "kubectl-maek") {
			t.Errorf("%s: exit code %d, %d bytes", shell, got.code, len(got.out))
		}
	}
	if got := run(t, t.Context(), "__complete", "explain", ""); !strings.Contains(got.out, "NodeGone\nPodFailed\n") {
		t.Errorf("codes are not completed:\n%s", got.out)
	}
}

// TestGoldensAreUsed fails for a golden that no test compares any more.
func TestGoldensAreUsed(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			source.WriteString(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	goldens, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range goldens {
		if !strings.Contains(source.String(), `"`+g.Name()+`"`) {
			t.Errorf("testdata/%s: no test uses it", g.Name())
		}
	}
}

// TestDemoShowsTwoIncidents holds the recording against the real rules: a kubelet that was stopped,
// and apart from it an image that does not exist.
func TestDemoShowsTwoIncidents(t *testing.T) {
	demo := func(args ...string) (exit.Code, string) {
		var out bytes.Buffer
		inv := &invocation.Invocation{
			Out: &out, ErrOut: t.Output(), Program: "kubectl maek",
			Now: func() time.Time { return moment }, Getenv: func(string) string { return "" }, Location: time.UTC,
		}
		return Run(t.Context(), inv, rules.All(), append([]string{"demo"}, args...)), out.String()
	}
	code, out := demo("-o", "json")
	var d v1alpha1.Diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, i := range d.Incidents {
		codes = append(codes, i.Code)
	}
	if diff := cmp.Diff([]string{"KubeletStopped", "ImageNotFound"}, codes); diff != "" || code != exit.OK {
		t.Errorf("exit code %d, incidents (-want +got):\n%s", code, diff)
	}
	for lang, want := range map[string]string{"en": "no cluster at hand?", "ko": "클러스터가 없다면"} {
		if _, out := demo("--lang", lang); !strings.Contains(out, want) {
			t.Errorf("%s: it does not say how to go on:\n%s", lang, out)
		}
	}
}
