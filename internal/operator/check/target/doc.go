// Package target says whom a Check asks: it turns a spec into questions, with names of Services, pods and
// ports settled, and sees to it that the operator asks nobody on a namespace's behalf whom that namespace
// may not ask.
//
// The operator's place in the network is better than most pods', and what it asks is written by whoever may
// create a Check. So nothing is believed that a namespace can write itself. A pod is asked at the address
// that its kubelet reports. An endpoint of a Service counts as the namespace's own only where it is the
// address of such a pod: EndpointSlices written by hand, headless Services and ExternalNames lead anywhere
// (https://github.com/kubernetes/kubernetes/issues/103675, CVE-2021-25740). So does the status of an Ingress:
// without more, it is believed of the Internet alone. All else needs a CheckPolicy, and some addresses none can allow.
//
// The last word falls where a connection is opened, about the address that it goes to: names that resolve
// to something else by then, and redirects, lead nowhere either. A connection that is refused there is an
// error of type *plan.Refusal, and no word about the target.
package target
