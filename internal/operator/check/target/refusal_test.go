package target_test

import (
	"strings"
	"testing"
)

// foreign is a Service of the namespace behind which somebody wrote something of another.
func foreign(service, endpoint string) string {
	return `
kind: Service
metadata: {namespace: shop, name: forged}
spec: {` + service + `, ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {namespace: shop, name: forged, labels: {kubernetes.io/service-name: forged}}
ports: [{port: 80}]
endpoints: [` + endpoint + `]
`
}

const hostNetworked = `
kind: Pod
metadata: {namespace: shop, name: agent, uid: h, labels: {app: agent}}
spec: {hostNetwork: true, containers: [{name: web}]}
status: {phase: Running, podIP: 192.168.0.11}
`

func TestWhoIsNotAsked(t *testing.T) {
	const (
		hosts = `{target: {url: "http://HOST/"}}`
		whole = `{httpGet: {port: 80}, target: {service: {name: forged}}}`
		each  = `{httpGet: {port: 80}, target: {service: {name: forged, mode: Each}}}`
	)
	url := func(host string) string { return strings.ReplaceAll(hosts, "HOST", host) }
	everything := policyFor(`nodes: true, hosts: ["0.0.0.0/0", "::/0", "*.example.com"]`)
	tests := map[string]struct {
		spec, objects string
		// want is the beginning of what is said, and also is in it.
		want, also string
	}{
		"a host of nobody's":                  {url("example.com"), "", "Refusal NotAllowed: example.com is not asked: it is not of the check's namespace", `namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, hosts: ["example.com"]}}`},
		"a host that another may ask":         {url("example.com"), strings.ReplaceAll(policyFor(`hosts: [example.com]`), "team: shop", "team: other"), "Refusal NotAllowed: example.com", ""},
		"the domain of a wildcard itself":     {url("example.com"), policyFor(`hosts: ["*.example.com"]`), "Refusal NotAllowed: example.com", ""},
		"a name that ends alike":              {url("evilexample.com"), policyFor(`hosts: ["*.example.com", example.com]`), "Refusal NotAllowed: evilexample.com", ""},
		"an address outside the network":      {url("10.21.0.1"), policyFor(`hosts: [10.20.0.0/16]`), "Refusal NotAllowed: 10.21.0.1", `hosts: ["10.21.0.1"]`},
		"a pod of another namespace":          {url("10.0.9.9"), "", "Refusal NotAllowed: 10.0.9.9", ""},
		"a Service of another namespace":      {url("cart.other.svc"), "", "Refusal NotAllowed: cart.other.svc", `hosts: ["cart.other.svc"]`},
		"loopback":                            {url("127.0.0.1"), everything, "Refusal NotAllowed: 127.0.0.1 is not asked: it is a loopback address", "no CheckPolicy can allow"},
		"loopback in IPv6":                    {url("[::1]"), everything, "Refusal NotAllowed: ::1 is not asked: it is a loopback address", ""},
		"no address":                          {url("0.0.0.0"), everything, "Refusal NotAllowed: 0.0.0.0 is not asked: it is an unspecified address", ""},
		"no address in IPv6":                  {url("[::]"), everything, "Refusal NotAllowed: :: is not asked: it is an unspecified address", ""},
		"metadata":                            {url("169.254.169.254"), everything, "Refusal NotAllowed: 169.254.169.254 is not asked: it is a link-local address", ""},
		"metadata, mapped":                    {url("[::ffff:169.254.169.254]"), everything, "Refusal NotAllowed: 169.254.169.254 is not asked: it is a link-local address", ""},
		"metadata, mapped in hexadecimals":    {url("[::ffff:a9fe:a9fe]"), everything, "Refusal NotAllowed: 169.254.169.254", ""},
		"metadata, compatible":                {url("[::169.254.169.254]"), everything, "Refusal NotAllowed: ::a9fe:a9fe is not asked: it is a link-local address", ""},
		"metadata, by NAT64":                  {url("[64:ff9b::a9fe:a9fe]"), everything, "Refusal NotAllowed: 64:ff9b::a9fe:a9fe is not asked: it is a link-local address", ""},
		"metadata, by a NAT64 of one's own":   {url("[64:ff9b:1::a9fe:a9fe]"), everything, "Refusal NotAllowed: 64:ff9b:1::a9fe:a9fe is not asked: it is a link-local address", ""},
		"metadata, by 6to4":                   {url("[2002:a9fe:a9fe::1]"), everything, "Refusal NotAllowed: 2002:a9fe:a9fe::1 is not asked: it is a link-local address", ""},
		"loopback, by Teredo":                 {url("[2001:0:102:304::80ff:fffe]"), everything, "Refusal NotAllowed: 2001:0:102:304::80ff:fffe is not asked: it is a loopback address", ""},
		"link-local":                          {url("[fe80::1]"), everything, "Refusal NotAllowed: fe80::1 is not asked: it is a link-local address", ""},
		"multicast":                           {url("224.0.0.1"), everything, "Refusal NotAllowed: 224.0.0.1 is not asked: it is a multicast address", ""},
		"multicast in IPv6":                   {url("[ff02::1]"), everything, "Refusal NotAllowed: ff02::1", ""},
		"metadata of AWS in IPv6":             {url("[fd00:ec2::254]"), everything, "Refusal NotAllowed: fd00:ec2::254 is not asked: clouds keep the credentials of machines there", `hosts: ["fd00:ec2::254"]`},
		"credentials of EKS's pods in IPv6":   {url("[fd00:ec2::23]"), everything, "Refusal NotAllowed: fd00:ec2::23 is not asked: clouds keep the credentials of machines there", ""},
		"metadata of Oracle's older cloud":    {url("192.0.0.192"), everything, "Refusal NotAllowed: 192.0.0.192 is not asked: clouds keep the credentials of machines there", ""},
		"a zone":                              {`{httpGet: {port: 80, host: "fe80::1%eth0"}}`, everything, `Refusal TargetInvalid: "fe80::1%eth0" has a zone`, ""},
		"an address of a few numbers":         {url("127.1"), everything, `Refusal TargetInvalid: "127.1" ends in a number`, ""},
		"an address of one number":            {url("2130706433"), everything, `Refusal TargetInvalid: "2130706433" ends in a number`, ""},
		"an address in hexadecimals":          {url("0x7f.0.0.0x1"), everything, `Refusal TargetInvalid: "0x7f.0.0.0x1" ends in a number`, ""},
		"an address with leading zeros":       {url("0177.0.0.1"), everything, `Refusal TargetInvalid: "0177.0.0.1" ends in a number`, ""},
		"a host of odd characters":            {`{httpGet: {port: 80, host: "a b"}}`, everything, `Refusal TargetInvalid: "a b" is no host`, ""},
		"a host with a port in it":            {`{tcpSocket: {port: 80, host: "a:80"}}`, everything, `Refusal TargetInvalid: "a:80" is no host`, ""},
		"a node, by a network":                {url("192.168.0.11"), policyFor(`hosts: [192.168.0.0/16]`), "Refusal NotAllowed: 192.168.0.11 is not asked: it is a node's address", "nodes: true"},
		"a node, by its outer address":        {url("203.0.113.11"), policyFor(`hosts: [203.0.113.11]`), "Refusal NotAllowed: 203.0.113.11 is not asked: it is a node's address", "nodes: true"},
		"a node, through a translator":        {url("[64:ff9b::192.168.0.11]"), policyFor(`hosts: ["::/0"]`), "Refusal NotAllowed: 64:ff9b::c0a8:b is not asked: it is a node's address", ""},
		"nodes":                               {`{tcpSocket: {port: 10250}, target: {nodes: {}}}`, policyFor(`hosts: ["0.0.0.0/0"]`), "Refusal NotAllowed: target.nodes is not asked: nodes are of no namespace", "nodes: true"},
		"the API server, on its machine":      {`{tcpSocket: {port: 6443}, target: {nodes: {}}}`, policyFor(`nodes: true`), "Refusal NotAllowed: 192.168.0.10 is not asked: it is the API server's address", `hosts: ["192.168.0.10"]`},
		"the API server's Service":            {url("10.96.0.1"), everything, "Refusal NotAllowed: 10.96.0.1 is not asked: it is the API server's address, which needs an entry of its own", `hosts: ["10.96.0.1"]`},
		"the API server, by a network of one": {url("10.96.0.1"), policyFor(`hosts: [10.96.0.1/32]`), "Refusal NotAllowed: 10.96.0.1 is not asked: it is the API server's address", ""},
		"no Service":                          {whole, "", "Empty true ServiceNotFound: there is no Service forged in namespace shop", ""},
		"no Service, by its name":             {url("nothing"), "", "Empty true ServiceNotFound: there is no Service nothing in namespace shop", ""},
		"no endpoints":                        {each, foreign(`clusterIP: 10.96.1.9`, ``), "Empty true NoEndpoints: Service forged has no ready endpoints", ""},
		"no ready endpoints": {
			whole, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.0.5], conditions: {ready: false, serving: false}, targetRef: {kind: Pod, name: cart-a}}`),
			"Empty true NoEndpoints: Service forged has no ready endpoints", "",
		},
		"an endpoint written by hand": {
			whole, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.9.9]}`),
			"Refusal NotAllowed: Service forged has an endpoint that is no pod of its namespace: 10.0.9.9 is not asked", `hosts: ["10.0.9.9"]`,
		},
		"an endpoint written by hand, each": {each, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.9.9]}`), "Refusal NotAllowed: Service forged has an endpoint", ""},
		"metadata behind a Service":         {each, foreign(`clusterIP: None`, `{addresses: [169.254.169.254]}`) + everything, "Refusal NotAllowed: Service forged has an endpoint that is no pod of its namespace: 169.254.169.254 is not asked: it is a link-local", ""},
		"an endpoint that claims a pod's name": {
			whole, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.9.9], targetRef: {kind: Pod, name: cart-a, uid: a}}`),
			"Empty false EndpointsUnsettled: Service forged may send to 10.0.9.9, which is no longer a pod's address", "",
		},
		"an endpoint that claims a pod's name, each": {
			each, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.9.9], targetRef: {kind: Pod, name: cart-a}}`),
			"Empty true NoEndpoints", "",
		},
		"an endpoint that claims a pod of before": {
			whole, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.0.5], targetRef: {kind: Pod, name: cart-a, uid: before}}`), "Empty false EndpointsUnsettled", "",
		},
		"an endpoint that claims a pod of another namespace": {
			whole, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.9.9], targetRef: {kind: Pod, namespace: other, name: cart-a}}`), "Refusal NotAllowed", "",
		},
		"one own endpoint, and one beside it": {
			whole, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.0.5], targetRef: {kind: Pod, name: cart-a}}, {addresses: [10.0.9.9]}`), "Refusal NotAllowed", "",
		},
		"an own endpoint of two addresses": {
			whole, foreign(`clusterIP: 10.96.1.9`, `{addresses: [10.0.0.5, 10.0.9.9], targetRef: {kind: Pod, name: cart-a}}`), "Empty false EndpointsUnsettled", "",
		},
		"a headless Service that leads elsewhere": {whole, foreign(`clusterIP: None`, `{addresses: [10.0.9.9]}`), "Refusal NotAllowed", ""},
		"an ExternalName":                         {whole, foreign(`type: ExternalName, externalName: example.com`, ``), "Refusal NotAllowed: example.com is not asked", ""},
		"an ExternalName of a node":               {whole, foreign(`type: ExternalName, externalName: 192.168.0.11`, ``), "Refusal NotAllowed: 192.168.0.11", "nodes: true"},
		"a pod in its node's network":             {`{tcpSocket: {port: 10250}, target: {pods: {selector: {matchLabels: {app: agent}}}}}`, hostNetworked, "Refusal NotAllowed: pod agent is not asked: it is in its node's network", "nodes: true"},
		"an endpoint in its node's network": {
			whole, hostNetworked + "\n---\n" + foreign(`clusterIP: 10.96.1.9`, `{addresses: [192.168.0.11], targetRef: {kind: Pod, name: agent}}`),
			"Refusal NotAllowed: pod agent is not asked: it is in its node's network", "nodes: true",
		},
		"a port that the Service has not":        {`{httpGet: {port: https}, target: {service: {name: cart}}}`, "", "Refusal PortNotFound: Service cart has no TCP port https; its ports are web 80/TCP, dns 53/UDP", ""},
		"a port of another protocol":             {`{httpGet: {port: dns}, target: {service: {name: cart}}}`, "", "Refusal PortNotFound: Service cart has no TCP port dns", ""},
		"the pods' port for the Service's":       {`{httpGet: {port: 8080}, target: {service: {name: cart}}}`, "", "Refusal PortNotFound: Service cart has no TCP port 8080; its ports are web 80/TCP", ""},
		"a port that no pod has":                 {`{httpGet: {port: https}, target: {pods: {selector: {}}}}`, "", `Refusal PortNotFound: container web of pod cart-a has no port "https"; its ports are http 8080/TCP, admin 9000/TCP`, ""},
		"a container that no pod has":            {`{httpGet: {port: 80}, target: {pods: {selector: {}, container: nginx}}}`, "", "Refusal ContainerNotFound: pod cart-a has no container nginx; its containers are web, side", ""},
		"no pods":                                {`{httpGet: {port: 80}, target: {pods: {selector: {matchLabels: {app: none}}}}}`, "", "Empty false NoPods: no pod fits the selector", ""},
		"no nodes":                               {`{httpGet: {port: 80}, target: {nodes: {selector: {matchLabels: {a: b}}}}}`, policyFor(`nodes: true`), "Empty false NoNodes: no node fits the selector", ""},
		"commands where none can be run":         {`{exec: {command: [id]}, target: {pods: {selector: {}}}}`, "", "Refusal ExecForbidden: this operator runs no commands", ""},
		"certificates of pods, without a name":   {`{tls: {port: 443}, target: {pods: {selector: {}}}}`, "", "Refusal TargetInvalid: certificates of pods and nodes name no address; write in tls.serverName", ""},
		"no Ingress":                             {`{httpGet: {port: 80}, target: {ingress: {name: none}}}`, "", "Empty true IngressNotFound: there is no Ingress none in namespace shop", ""},
		"an Ingress on a port of its own":        {`{httpGet: {port: 8080}, target: {ingress: {name: none}}}`, "", "Refusal TargetInvalid: port 8080: an Ingress has the ports 80 and 443", ""},
		"an Ingress without an address":          {`{httpGet: {port: 80}, target: {ingress: {name: i}}}`, "kind: Ingress\nmetadata: {namespace: shop, name: i}", "Empty true NoAddress: no controller has given Ingress i an address", ""},
		"an Ingress that leads to metadata":      {`{httpGet: {port: 80}, target: {ingress: {name: i}}}`, "kind: Ingress\nmetadata: {namespace: shop, name: i}\nstatus: {loadBalancer: {ingress: [{ip: 169.254.169.254}]}}", "Refusal NotAllowed: 169.254.169.254", ""},
		"an Ingress that leads to an API server": {`{httpGet: {port: 443}, target: {ingress: {name: i}}}`, "kind: Ingress\nmetadata: {namespace: shop, name: i}\nstatus: {loadBalancer: {ingress: [{ip: 10.96.0.1}]}}", "Refusal NotAllowed: 10.96.0.1 is not asked: it is the API server's", ""},
		"an Ingress that has another rule":       {`{httpGet: {port: 80}, target: {ingress: {name: i, host: b}}}`, "kind: Ingress\nmetadata: {namespace: shop, name: i}\nspec: {rules: [{host: a}]}\nstatus: {loadBalancer: {ingress: [{ip: 1.1.1.1}]}}", "Refusal TargetInvalid: Ingress i has no rule for b; its rules are for a", ""},
		"a wildcard's own name":                  {`{httpGet: {port: 80}, target: {ingress: {name: i}}}`, "kind: Ingress\nmetadata: {namespace: shop, name: i}\nspec: {rules: [{host: \"*.a\"}]}\nstatus: {loadBalancer: {ingress: [{ip: 1.1.1.1}]}}", "Refusal TargetInvalid: the first rule of Ingress i is for *.a; write in target.ingress.host", ""},
		"DNS elsewhere":                          {`{dns: {name: a, server: 8.8.8.8}}`, "", "Refusal NotAllowed: 8.8.8.8 is not asked", ""},
		"the cluster's DNS on another port":      {`{dns: {name: a, transport: TCP, port: 9153}}`, "", "Refusal NotAllowed: 10.96.0.10 is not asked on port 9153: nothing but port 53 may be asked there", ""},
		"the cluster's DNS, but not for DNS":     {`{httpGet: {port: 9153, host: 10.96.0.10}}`, "", "Refusal NotAllowed: 10.96.0.10 is not asked: it is not of the check's namespace", ""},
		"a name that does not exist, from nodes": {`{httpGet: {port: 80, host: example.com}, from: nodes}`, policyFor(`hosts: [example.com]`), "Empty true NameNotFound: the name example.com does not exist", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shop, tc.objects)
			questions, err := w.Resolve(t.Context(), newCheck(t, tc.spec), 0)
			got := refusal(err)
			if !strings.HasPrefix(got, tc.want) || !strings.Contains(got, tc.also) {
				t.Errorf("got %q (%v)\nwant %q, with %q", got, asked(questions), tc.want, tc.also)
			}
			if len(w.dialled) > 0 {
				t.Errorf("it connected to %v", w.dialled)
			}
		})
	}
}
