package admission

import (
	"fmt"
	"regexp"
	"strings"
)

// right is something that a ServiceAccount may not do, as the API server told it.
type right struct {
	accountNamespace, account string
	verb, resource, group     string
	// name of the one object that was meant; empty where there was none, as for list and create.
	name string
	// namespace in which it was tried; empty for the whole cluster.
	namespace string
	// line of the log that tells.
	line string
}

// forbidden is how the API server refuses a request
// (k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage).
var forbidden = regexp.MustCompile(
	`(?:"([^"\s]+)" is forbidden: )?User "system:serviceaccount:([a-z0-9.-]+):([a-z0-9.-]+)" cannot ([a-z]+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([a-z0-9-]+)"| at the cluster scope)`)

const (
	// linesRead is how many lines from the end of a log are looked at: what holds a program up stands near the end.
	linesRead = 200
	// rightsTold is how many rights of one log are looked into.
	rightsTold = 3
)

// rightsRefused finds in a log what the API server refused, the latest first, each once. Loggers that
// write JSON put backslashes before the quotes.
func rightsRefused(log string) []right {
	lines := strings.Split(log, "\n")
	lines = lines[max(0, len(lines)-linesRead):]
	var out []right
	seen := map[right]bool{}
	for i := len(lines) - 1; i >= 0 && len(out) < rightsTold; i-- {
		line := strings.ReplaceAll(lines[i], `\"`, `"`)
		m := forbidden.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		r := right{name: m[1], accountNamespace: m[2], account: m[3], verb: m[4], resource: m[5], group: m[6], namespace: m[7]}
		if seen[r] {
			continue
		}
		seen[r] = true
		r.line = line
		out = append(out, r)
	}
	return out
}

// words name the right: "list pods in namespace shop".
func (r right) words() string {
	resource := r.resource
	if r.group != "" {
		name, sub, has := strings.Cut(resource, "/")
		resource = name + "." + r.group
		if has {
			resource += "/" + sub
		}
	}
	if r.name != "" {
		resource += " " + r.name
	}
	if r.namespace == "" {
		return fmt.Sprintf("%s %s (cluster)", r.verb, resource)
	}
	return fmt.Sprintf("%s %s (namespace %s)", r.verb, resource, r.namespace)
}

// command asks the same with kubectl.
func (r right) command() string {
	name, sub, has := strings.Cut(r.resource, "/")
	if r.group != "" {
		name += "." + r.group
	}
	if r.name != "" {
		name += "/" + r.name
	}
	out := fmt.Sprintf("kubectl auth can-i %s %s --as=system:serviceaccount:%s:%s", r.verb, name, r.accountNamespace, r.account)
	if has {
		out += " --subresource=" + sub
	}
	if r.namespace == "" {
		return out + " --all-namespaces"
	}
	return out + " -n " + r.namespace
}

// grant is the command that gives this right and no other.
func (r right) grant() string {
	name, resource := r.account+"-"+r.verb+"-"+strings.ReplaceAll(r.resource, "/", "-"), r.resource
	if r.group != "" {
		first, sub, has := strings.Cut(resource, "/")
		resource = first + "." + r.group
		if has {
			resource += "/" + sub
		}
	}
	if r.name != "" {
		resource += " --resource-name=" + r.name
	}
	if r.namespace == "" {
		return fmt.Sprintf("kubectl create clusterrole %s --verb=%s --resource=%s && kubectl create clusterrolebinding %[1]s --clusterrole=%[1]s --serviceaccount=%[4]s:%[5]s",
			name, r.verb, resource, r.accountNamespace, r.account)
	}
	return fmt.Sprintf("kubectl -n %s create role %s --verb=%s --resource=%s && kubectl -n %[1]s create rolebinding %[2]s --role=%[2]s --serviceaccount=%[5]s:%[6]s",
		r.namespace, name, r.verb, resource, r.accountNamespace, r.account)
}
