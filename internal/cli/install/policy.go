package install

import (
	"encoding/json"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/monitor"
)

// conditionTypes that an agent may write. A test holds them against those that it does write.
var conditionTypes = []string{
	"KernelDeadlock", "ReadonlyFilesystem", "KubeletUnhealthy", "ContainerRuntimeUnhealthy",
	"FrequentKubeletRestart", "FrequentContainerdRestart", "FrequentDockerRestart",
}

// statusFields are all of a Node's status that an agent leaves alone. A test holds them against the type.
var statusFields = []string{
	"addresses", "allocatable", "capacity", "config", "daemonEndpoints", "declaredFeatures", "features", "images", "nodeInfo",
	"phase", "runtimeHandlers", "volumesAttached", "volumesInUse",
}

// metadataFields can be written through the status too: an owner that is not there has the garbage
// collector delete the Node, and a finalizer keeps it (kubernetes/pkg/registry/core/node/strategy.go,
// nodeStatusStrategy).
var metadataFields = []string{"finalizers", "labels", "ownerReferences"}

// ownNodePolicy confines what an agent writes to its own Node, and there to its key and its conditions. A
// token that was stolen from one machine is worth no more than that. The name of the Node is in every
// token that is bound to a pod
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#verifying-and-inspecting-private-claims).
func ownNodePolicy(namespace string) *admissionregistrationv1.ValidatingAdmissionPolicy {
	account := "system:serviceaccount:" + namespace + ":" + AgentName
	key, types := quoted(monitor.KeyAnnotation), quoted(conditionTypes)
	return &admissionregistrationv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: AgentName, Labels: agentLabels()},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionregistrationv1.Fail),
			MatchConstraints: &admissionregistrationv1.MatchResources{
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{
					matching("nodes/status", admissionregistrationv1.Update),
					matching("events", admissionregistrationv1.Create),
				},
			},
			MatchConditions: []admissionregistrationv1.MatchCondition{
				{Name: "agent", Expression: "request.userInfo.username == " + quoted(account)},
			},
			Variables: []admissionregistrationv1.Variable{
				{Name: "extra", Expression: "'authentication.kubernetes.io/node-name' in request.userInfo.extra ? request.userInfo.extra['authentication.kubernetes.io/node-name'] : []"},
				{Name: "node", Expression: "size(variables.extra) == 1 ? variables.extra[0] : ''"},
				{Name: "event", Expression: "request.resource.resource == 'events'"},
				{Name: "name", Expression: "variables.event ? object.involvedObject.name : object.metadata.name"},
			},
			Validations: []admissionregistrationv1.Validation{
				{
					Expression: "variables.node != '' && variables.name == variables.node",
					Message:    "an agent writes about its own Node only",
				},
				{
					Expression: "!variables.event || object.involvedObject.kind == 'Node'",
					Message:    "an agent tells of its Node only",
				},
				{
					Expression: "variables.event || (" + unchanged("metadata", metadataFields) + ")",
					Message:    "an agent leaves labels, owners and finalizers alone",
				},
				{
					Expression: "variables.event || " + same("object", "oldObject", key) + " && " + same("oldObject", "object", key),
					Message:    "of all annotations an agent writes its key only",
				},
				{
					Expression: "variables.event || (" + unchanged("status", statusFields) + ")",
					Message:    "an agent writes conditions only",
				},
				{
					Expression: "variables.event || !has(oldObject.status.conditions) || oldObject.status.conditions.all(o, o.type in " + types + " || has(object.status.conditions) && object.status.conditions.exists(c, c == o))",
					Message:    "an agent leaves the conditions of others alone",
				},
				{
					Expression: "variables.event || !has(object.status.conditions) || object.status.conditions.all(c, c.type in " + types + " || has(oldObject.status.conditions) && oldObject.status.conditions.exists(o, o == c))",
					Message:    "an agent writes its own conditions only",
				},
			},
		},
	}
}

// same is an expression for: every annotation of one, but the key, is the other's too.
func same(one, other, key string) string {
	return "(!has(" + one + ".metadata.annotations) || " + one + ".metadata.annotations.all(k, k == " + key + " || (has(" + other + ".metadata.annotations) && k in " + other +
		".metadata.annotations && " + other + ".metadata.annotations[k] == " + one + ".metadata.annotations[k])))"
}

// unchanged is an expression for: these fields of a part of the Node are as they were.
func unchanged(part string, fields []string) string {
	var out []string
	for _, field := range fields {
		now, was := "object."+part+"."+field, "oldObject."+part+"."+field
		out = append(out, "(has("+now+") == has("+was+") && (!has("+now+") || "+now+" == "+was+"))")
	}
	return strings.Join(out, " && ")
}

func matching(resource string, operation admissionregistrationv1.OperationType) admissionregistrationv1.NamedRuleWithOperations {
	return admissionregistrationv1.NamedRuleWithOperations{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{operation},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}},
	}}
}

func ownNodeBinding() *admissionregistrationv1.ValidatingAdmissionPolicyBinding {
	return &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: AgentName, Labels: agentLabels()},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName:        AgentName,
			ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}
}

// quoted makes a literal of the Common Expression Language, whose strings are JSON's.
func quoted(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		// Strings and lists of them always have a JSON form.
		panic(err)
	}
	return string(data)
}
