package workload

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// extension is a part of the API server's work that a Service in the cluster does for it.
type extension struct {
	// by is the object that says so, and path its field.
	by   snapshot.Object
	path string
	// namespace and service that do it.
	namespace, service string
	// mustAnswer tells that requests fail where the Service does not answer.
	mustAnswer bool
}

// extensionNeeds are the kinds that extensions reads.
func extensionNeeds() []rule.Need {
	return []rule.Need{
		rule.Optional[*apiregistrationv1.APIService](), rule.Optional[*apiextensionsv1.CustomResourceDefinition](),
		rule.Optional[*admissionregistrationv1.ValidatingWebhookConfiguration](), rule.Optional[*admissionregistrationv1.MutatingWebhookConfiguration](),
	}
}

// extensions returns the aggregated APIs, webhooks and conversions of kinds that Services serve.
func extensions(p *rule.Pass) []extension {
	var out []extension
	for _, a := range snapshot.List[*apiregistrationv1.APIService](p.Snapshot) {
		if svc := a.Spec.Service; svc != nil {
			out = append(out, extension{a, ".spec.service.namespace", svc.Namespace, svc.Name, true})
		}
	}
	webhook := func(by snapshot.Object, name string, config admissionregistrationv1.WebhookClientConfig, policy *admissionregistrationv1.FailurePolicyType) {
		if svc := config.Service; svc != nil {
			// Fail is the default (k8s.io/kubernetes/pkg/apis/admissionregistration/v1, defaults.go).
			must := policy == nil || *policy == admissionregistrationv1.Fail
			out = append(out, extension{by, ".webhooks[" + name + "].clientConfig.service.namespace", svc.Namespace, svc.Name, must})
		}
	}
	for _, c := range snapshot.List[*admissionregistrationv1.ValidatingWebhookConfiguration](p.Snapshot) {
		for i := range c.Webhooks {
			webhook(c, c.Webhooks[i].Name, c.Webhooks[i].ClientConfig, c.Webhooks[i].FailurePolicy)
		}
	}
	for _, c := range snapshot.List[*admissionregistrationv1.MutatingWebhookConfiguration](p.Snapshot) {
		for i := range c.Webhooks {
			webhook(c, c.Webhooks[i].Name, c.Webhooks[i].ClientConfig, c.Webhooks[i].FailurePolicy)
		}
	}
	for _, d := range snapshot.List[*apiextensionsv1.CustomResourceDefinition](p.Snapshot) {
		if c := d.Spec.Conversion; c != nil && c.Webhook != nil && c.Webhook.ClientConfig != nil && c.Webhook.ClientConfig.Service != nil {
			svc := c.Webhook.ClientConfig.Service
			out = append(out, extension{d, ".spec.conversion.webhook.clientConfig.service.namespace", svc.Namespace, svc.Name, true})
		}
	}
	return out
}
