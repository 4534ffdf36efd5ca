// Package install is the command that prints the manifests of what runs in a cluster, and applies them
// where the user says so.
package install

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/config"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
)

const (
	// defaultNamespace is where things are installed without -n.
	defaultNamespace = "maek-system"
	// serviceAccount that has the read-only role.
	serviceAccount = monitor.ReaderAccount
)

// New makes the command.
func New(inv *invocation.Invocation, connection *source.Connection, rules []rule.Rule) *cobra.Command {
	var o flags
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Print the manifests of what runs in a cluster",
		Long: `Print the manifests of what runs in a cluster: the definitions of Maek's own kinds and of Kuberhealthy's, and a namespace
(-n, or ` + defaultNamespace + `) with the operator, three stock checks (daemonset, deployment, dns-status-internal), and a ServiceAccount
that may read what a diagnosis reads and nothing else. Nothing is applied but with --apply, which also waits until all is up:

  ` + inv.Program + ` install --apply

Whoever pipes them to kubectl apply does it twice: the checks are of kinds that the first run defines.

The operator runs the checks of Kuberhealthy 2 and 3 and keeps incidents; the Service kuberhealthy has their status and
metrics. It runs no check while a Kuberhealthy is alive, unless --adopt says so. Whoever has Kuberhealthy's definitions
and wants to keep them writes --kuberhealthy-definitions=false.

With --agent also a DaemonSet that watches every machine. It runs as root without capabilities, on the
host network, and sees the machine's file system read-only; the namespace admits such pods then.

With --operator=false no operator and no checks.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(cmd); err != nil {
				return err
			}
			namespace := cmp.Or(connection.Namespace(), defaultNamespace)
			if wrong := validation.IsDNS1123Label(namespace); len(wrong) > 0 {
				return exit.Misused("-n %q is no name for a namespace: %s", namespace, strings.Join(wrong, "; "))
			}
			if o.apply {
				return apply(cmd.Context(), inv, connection, namespace, rules, o)
			}
			if err := Manifests(inv.Out, namespace, rules, o.options(inv.Version)); err != nil {
				return fmt.Errorf("printing the manifests: %w", err)
			}
			return nil
		},
	}
	o.add(cmd)
	return cmd
}

// apply applies what would have been printed.
func apply(ctx context.Context, inv *invocation.Invocation, connection *source.Connection, namespace string, rules []rule.Rule, o flags) error {
	cfg, err := connection.Config(inv.Program)
	if err != nil {
		return err
	}
	a, err := newApplier(cfg, inv.Out, o.force)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	what := o.options(inv.Version)
	if what.AgentThere, err = a.hasAgent(ctx, namespace); err != nil {
		return err
	}
	var documents bytes.Buffer
	if err := Manifests(&documents, namespace, rules, what); err != nil {
		return fmt.Errorf("making the manifests: %w", err)
	}
	return a.apply(ctx, documents.Bytes())
}

// Options say what is installed. What is nil is left out.
type Options struct {
	// Questions tells whether the read-only account may also do what questions need.
	Questions bool
	// KuberhealthyDefinitions tells whether Kuberhealthy's kinds are defined too.
	KuberhealthyDefinitions bool
	Operator                *Operator
	Agent                   *Agent
	// AgentThere tells that agents run in the namespace already, so that it must go on to admit them.
	AgentThere bool
}

// Manifests writes everything in the order in which it can be applied.
func Manifests(w io.Writer, namespace string, rules []rule.Rule, o Options) error {
	if err := Document(w, namespaceFor(namespace, o.Agent != nil || o.AgentThere)); err != nil {
		return err
	}
	if err := definitions(w, o.KuberhealthyDefinitions); err != nil {
		return err
	}
	objects := []runtime.Object{account(namespace), Role(rules), binding(namespace, RoleName)}
	if o.Questions {
		objects = append(objects, QuestionsRole(), binding(namespace, QuestionsRoleName))
	}
	if o.Operator != nil {
		objects = append(objects, operatorObjects(namespace, rules, *o.Operator)...)
	}
	if o.Agent != nil {
		objects = append(objects, agentObjects(namespace, *o.Agent)...)
	}
	for _, obj := range objects {
		if err := Document(w, obj); err != nil {
			return err
		}
	}
	return nil
}

// definitions writes the CustomResourceDefinitions.
func definitions(w io.Writer, kuberhealthy bool) error {
	all := config.CustomResourceDefinitions()
	return fs.WalkDir(all, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || (!kuberhealthy && !strings.HasPrefix(path, v1alpha1.GroupVersion.Group+"_")) {
			return err
		}
		data, err := fs.ReadFile(all, path)
		if err != nil {
			return err
		}
		return write(w, data)
	})
}

// Document writes an object as a YAML document, without the fields that the server fills in.
func Document(w io.Writer, obj runtime.Object) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return err
	}
	delete(fields, "status")
	if spec, ok := fields["spec"].(map[string]any); ok && len(spec) == 0 {
		delete(fields, "spec")
	}
	data, err := yaml.Marshal(fields)
	if err != nil {
		return err
	}
	return write(w, data)
}

func write(w io.Writer, doc []byte) error {
	_, err := fmt.Fprintf(w, "---\n%s", strings.TrimPrefix(string(doc), "---\n"))
	return err
}

func namespaceFor(name string, agent bool) *corev1.Namespace {
	// What Maek runs needs no more than the restricted profile allows, but for the agent: the host's network
	// and files are allowed by the privileged one alone
	// (https://kubernetes.io/docs/concepts/security/pod-security-standards). A namespace that the user names
	// may be Kuberhealthy's, whose users' checker pods the restricted one would refuse, its stock checks first.
	l := labels()
	switch {
	case agent:
		l["pod-security.kubernetes.io/enforce"] = "privileged"
	case name == defaultNamespace:
		l["pod-security.kubernetes.io/enforce"] = "restricted"
	}
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: l},
	}
}

func account(namespace string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: serviceAccount, Labels: labels()},
	}
}

func binding(namespace, role string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: role, Labels: labels()},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: serviceAccount}},
	}
}
