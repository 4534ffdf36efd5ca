package admission

import (
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// webhook is one webhook of a configuration, validating or mutating.
type webhook struct {
	// config is the object that it stands in, and object the same to read.
	config finding.Subject
	object snapshot.Object
	// index of the webhook within the configuration.
	index int
	name  string
	// ignores tells that a call that fails lets the request pass.
	ignores    bool
	rules      []admissionregistrationv1.RuleWithOperations
	namespaces *metav1.LabelSelector
	objects    *metav1.LabelSelector
	// conditioned tells that expressions pick among the requests too (matchConditions), which are not evaluated.
	conditioned bool
	backend     backend
}

// webhooks returns all admission webhooks, those of validating configurations first.
func webhooks(p *rule.Pass) []webhook {
	var out []webhook
	for _, c := range snapshot.List[*admissionregistrationv1.ValidatingWebhookConfiguration](p.Snapshot) {
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			out = append(out, webhook{
				config: snapshot.SubjectOf(c), object: c, index: i, name: w.Name, ignores: ignores(w.FailurePolicy), rules: w.Rules,
				namespaces: w.NamespaceSelector, objects: w.ObjectSelector, conditioned: len(w.MatchConditions) > 0, backend: clientOf(w.ClientConfig),
			})
		}
	}
	for _, c := range snapshot.List[*admissionregistrationv1.MutatingWebhookConfiguration](p.Snapshot) {
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			out = append(out, webhook{
				config: snapshot.SubjectOf(c), object: c, index: i, name: w.Name, ignores: ignores(w.FailurePolicy), rules: w.Rules,
				namespaces: w.NamespaceSelector, objects: w.ObjectSelector, conditioned: len(w.MatchConditions) > 0, backend: clientOf(w.ClientConfig),
			})
		}
	}
	return out
}

// ignores reads a failure policy, which is Fail where it is not set (k8s.io/api/admissionregistration/v1).
func ignores(f *admissionregistrationv1.FailurePolicyType) bool {
	return f != nil && *f == admissionregistrationv1.Ignore
}

func clientOf(c admissionregistrationv1.WebhookClientConfig) backend {
	if c.Service == nil {
		return backendOf(c.URL, "", "", nil, c.CABundle)
	}
	return backendOf(nil, c.Service.Namespace, c.Service.Name, c.Service.Port, c.CABundle)
}

// resource that a request is about.
type resource struct{ group, name, subresource string }

// The resources whose writes a cluster lives by.
var (
	pods   = resource{name: "pods"}
	leases = resource{group: "coordination.k8s.io", name: "leases"}
)

// catches tells whether a request of the operation reaches the webhook, as its rules say
// (k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules, Matcher).
func (w webhook) catches(r resource, op admissionregistrationv1.OperationType) bool {
	return slices.ContainsFunc(w.rules, func(rule admissionregistrationv1.RuleWithOperations) bool {
		return has(rule.Operations, op, admissionregistrationv1.OperationAll) && has(rule.APIGroups, r.group, "*") &&
			slices.ContainsFunc(rule.Resources, r.in)
	})
}

// in tells whether a rule's resource stands for this one: "pods", "*", "pods/status", "pods/*", "*/status", "*/*".
func (r resource) in(pattern string) bool {
	name, sub, _ := strings.Cut(pattern, "/")
	if name != "*" && name != r.name {
		return false
	}
	return sub == r.subresource || sub == "*" && strings.Contains(pattern, "/")
}

func has[T comparable](list []T, value, all T) bool {
	return slices.Contains(list, value) || slices.Contains(list, all)
}

// reaches tells whether requests in a namespace reach the webhook. Without the Namespace's labels
// only a webhook without a selector is known to.
func (w webhook) reaches(s *snapshot.Snapshot, namespace string) bool {
	if w.namespaces == nil || len(w.namespaces.MatchLabels)+len(w.namespaces.MatchExpressions) == 0 {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(w.namespaces)
	ns, ok := snapshot.Get[*corev1.Namespace](s, "", namespace)
	return err == nil && ok && selector.Matches(labels.Set(ns.Labels))
}

// choosy tells whether a webhook picks objects by their labels or by expressions, so that not every
// request of its rules reaches it.
func (w webhook) choosy() bool {
	return w.conditioned || w.objects != nil && len(w.objects.MatchLabels)+len(w.objects.MatchExpressions) > 0
}

// namespacesOf returns the namespaces whose requests reach the webhook; all of them where it has no
// selector.
func (w webhook) namespacesOf(s *snapshot.Snapshot) (names []string, all bool) {
	known := snapshot.List[*corev1.Namespace](s)
	for _, ns := range known {
		if w.reaches(s, ns.Name) {
			names = append(names, ns.Name)
		}
	}
	return names, len(names) == len(known)
}

// served tells whether any of the webhook's rules is about resources that exist: those of a group
// without a dot or of Kubernetes' own, or of a group that a CustomResourceDefinition defines. What
// is left of an operator that was removed catches nothing any more. "*" among the groups tells that
// not all of them are known.
func (w webhook) served(groups map[string]bool) bool {
	return groups["*"] || slices.ContainsFunc(w.rules, func(rule admissionregistrationv1.RuleWithOperations) bool {
		return slices.ContainsFunc(rule.APIGroups, func(g string) bool {
			return g == "*" || !strings.Contains(g, ".") || strings.HasSuffix(g, ".k8s.io") || groups[g]
		})
	})
}

// caught says which resources the webhook's rules name, once each.
func (w webhook) caught() finding.Text {
	var out []string
	for _, rule := range w.rules {
		out = append(out, rule.Resources...)
	}
	return finding.List(out)
}
