// Package install is the command that prints the manifests of what runs in a cluster. It applies
// nothing by itself: what changes a cluster is kubectl, in the user's hands.
package install

import (
	"cmp"
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
	var o options
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Print the manifests of what runs in a cluster",
		Long: `Print the manifests of what runs in a cluster: the definitions of Maek's own kinds, and a namespace (-n, or ` + defaultNamespace + `)
with a ServiceAccount that may read what a diagnosis reads and nothing else. Nothing is applied:

  ` + inv.Program + ` install | kubectl apply -f -

With --agent also a DaemonSet that watches every machine. It runs as root without capabilities, on the
host network, and sees the machine's file system read-only; the namespace admits such pods then.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !o.agent && (cmd.Flags().Changed("image") || cmd.Flags().Changed("node-conditions")) {
				return exit.Misused("--image and --node-conditions are about the agent: write --agent too")
			}
			namespace := cmp.Or(connection.Namespace(), defaultNamespace)
			if wrong := validation.IsDNS1123Label(namespace); len(wrong) > 0 {
				return exit.Misused("-n %q is no name for a namespace: %s", namespace, strings.Join(wrong, "; "))
			}
			var agent *Agent
			if o.agent {
				agent = &Agent{Image: cmp.Or(o.image, AgentRepository+":"+inv.Version), NodeConditions: o.nodeConditions}
			}
			if err := Manifests(inv.Out, namespace, rules, o.questions, agent); err != nil {
				return fmt.Errorf("printing the manifests: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&o.questions, "questions", false, "also grant what questions need: get on nodes/proxy, nodes, namespaces and configmaps, create on subjectaccessreviews")
	cmd.Flags().BoolVar(&o.agent, "agent", false, "also install the agent on every machine")
	cmd.Flags().StringVar(&o.image, "image", "", "image of the agent; by default "+AgentRepository+" of this version")
	cmd.Flags().BoolVar(&o.nodeConditions, "node-conditions", false, "let agents write conditions of their Nodes, and events, as node-problem-detector does")
	return cmd
}

// options of the command.
type options struct {
	questions, agent, nodeConditions bool
	image                            string
}

// Manifests writes everything in the order in which it can be applied. A nil agent leaves that out.
func Manifests(w io.Writer, namespace string, rules []rule.Rule, questions bool, agent *Agent) error {
	if err := Document(w, namespaceFor(namespace, agent != nil)); err != nil {
		return err
	}
	definitions := config.CustomResourceDefinitions()
	err := fs.WalkDir(definitions, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(definitions, path)
		if err != nil {
			return err
		}
		return write(w, data)
	})
	if err != nil {
		return err
	}
	objects := []runtime.Object{account(namespace), Role(rules), binding(namespace, RoleName)}
	if questions {
		objects = append(objects, QuestionsRole(), binding(namespace, QuestionsRoleName))
	}
	if agent != nil {
		objects = append(objects, agentObjects(namespace, *agent)...)
	}
	for _, obj := range objects {
		if err := Document(w, obj); err != nil {
			return err
		}
	}
	return nil
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
	// What will run here needs no more than the restricted profile allows, but for the agent: the host's
	// network and files are allowed by the privileged one alone
	// (https://kubernetes.io/docs/concepts/security/pod-security-standards).
	l := labels()
	l["pod-security.kubernetes.io/enforce"] = "restricted"
	if agent {
		l["pod-security.kubernetes.io/enforce"] = "privileged"
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
