package crd

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/config"
)

var goodChecks = map[string]string{
	"a pod's own probe, pasted": `
httpGet: {path: /healthz, port: 8080, scheme: HTTPS, httpHeaders: [{name: X-From, value: maek}]}
periodSeconds: 10
timeoutSeconds: 3
successThreshold: 1
failureThreshold: 3
target: {pods: {selector: {matchLabels: {app: cart}}}}
`,
	"a Service's named port":                 `{httpGet: {port: web}, periodSeconds: 1, target: {service: {name: cart, mode: Each}}}`,
	"a host of the action's own":             `{tcpSocket: {host: db.example.com, port: 5432}, periodSeconds: 30}`,
	"gRPC on every node":                     `{grpc: {port: 9000}, periodSeconds: 30, target: {nodes: {}}}`,
	"a command in a container":               `{exec: {command: [pg_isready]}, periodSeconds: 30, target: {pods: {selector: {}, container: db, mode: Any}}, expect: {matches: accepting}}`,
	"a name at a given server":               `{dns: {name: cart.shop.svc.cluster.local, server: 10.96.0.10}, periodSeconds: 5, expect: {records: [10.96.1.1], latencyMilliseconds: 100}}`,
	"a certificate that is to last":          `{tls: {port: 443}, schedule: "@daily", target: {host: example.com}, expect: {certificateDaysLeft: 21}}`,
	"a certificate behind HTTPS":             `{httpGet: {port: 443, scheme: HTTPS, host: example.com}, periodSeconds: 60, expect: {certificateDaysLeft: 21, statusCodes: ["200-299", "404"]}}`,
	"a scenario by the clock":                `{synthetic: {scenario: storage, parameters: {storageClass: fast}}, schedule: "*/5 * * * *", timeZone: Asia/Seoul, timeoutSeconds: 240}`,
	"a pod, whose fields are not ours":       `{podTemplate: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}], fieldOfTomorrow: 1}}, periodSeconds: 300}`,
	"a URL":                                  `{target: {url: "https://shop.example.com/healthz?deep=1"}, periodSeconds: 10, expect: {certificateDaysLeft: 14, json: [{path: .status, equals: ok}], headers: [{name: Content-Type, matches: json}]}}`,
	"a slow answer to every node":            `{tcpSocket: {port: 80}, periodSeconds: 60, timeoutSeconds: 30, from: nodes, target: {service: {name: shop}}}`,
	"an Ingress from every node":             `{httpGet: {port: 443, scheme: HTTPS, path: /}, periodSeconds: 10, from: nodes, target: {ingress: {name: shop, host: shop.example.com}}, tlsConfig: {caBundle: {name: ca, key: ca.crt}}}`,
	"secrets of its own namespace":           `{target: {url: "https://shop.example.com"}, periodSeconds: 10, semantics: Kubelet, auth: {bearerToken: {name: token, key: token}}, tlsConfig: {clientCertificate: {name: client}}}`,
	"a check that rests at night":            `{dns: {name: a}, periodSeconds: 10, maintenance: [{days: [Sat, Sun], start: "23:30", durationMinutes: 120, timeZone: Asia/Seoul}]}`,
	"a check with a consequence":             `{httpGet: {port: 80}, periodSeconds: 10, target: {pods: {selector: {}}}, takeOutOfService: {mode: Enforce, minReadyPercent: 70}}`,
	"an IPv6 address and the highest bounds": `{tcpSocket: {port: 65535}, target: {host: "2001:db8::1"}, periodSeconds: 86400, timeoutSeconds: 86399, failureThreshold: 100, successThreshold: 100}`,
}

var badChecks = map[string]struct {
	spec string
	want string
}{
	"no question": {`{periodSeconds: 10}`, "write exactly one of httpGet, tcpSocket"},
	"two questions": {
		`{dns: {name: a}, synthetic: {scenario: dns}, periodSeconds: 10}`,
		"write exactly one of httpGet, tcpSocket",
	},
	"no rhythm":                       {`{dns: {name: a}}`, "write either periodSeconds (every so many seconds) or schedule"},
	"a URL and another question":      {`{target: {url: "http://a"}, httpGet: {port: 80}, periodSeconds: 10}`, "write exactly one of httpGet, tcpSocket"},
	"a URL with a password":           {`{target: {url: "http://me:secret@a/"}, periodSeconds: 10}`, "write url as http://HOST"},
	"a URL of another scheme":         {`{target: {url: "ftp://a/"}, periodSeconds: 10}`, "write url as http://HOST"},
	"an answer that ends nothing":     {`{target: {url: "http://a"}, periodSeconds: 10, expect: {statusCodes: ["101"]}}`, "write a status code ('204') or a range"},
	"a range from its end":            {`{target: {url: "http://a"}, periodSeconds: 10, expect: {statusCodes: ["299-200"]}}`, "write a status code ('204') or a range"},
	"a pattern that is none":          {`{target: {url: "http://a"}, periodSeconds: 10, expect: {matches: "(["}}`, "write matches as a regular expression"},
	"a latency beyond the timeout":    {`{target: {url: "http://a"}, periodSeconds: 10, timeoutSeconds: 2, expect: {latencyMilliseconds: 2001}}`, "expect.latencyMilliseconds is longer than timeoutSeconds"},
	"an Ingress on a port of its own": {`{httpGet: {port: 8080}, periodSeconds: 10, target: {ingress: {name: a}}}`, "target.ingress is asked by httpGet on port 80 or 443"},
	"a long attempt from nodes":       {`{tcpSocket: {port: 80}, periodSeconds: 60, timeoutSeconds: 31, from: nodes, target: {service: {name: a}}}`, "agents give an attempt 30 seconds at most"},
	"a command from nodes":            {`{exec: {command: [id]}, periodSeconds: 10, from: nodes, target: {pods: {selector: {}}}}`, "exec, synthetic and podTemplate run in pods"},
	"trust in plain HTTP":             {`{target: {url: "http://a"}, periodSeconds: 10, tlsConfig: {}}`, "tlsConfig belongs to httpGet with scheme: HTTPS"},
	"a password for a connection":     {`{tcpSocket: {port: 1, host: a}, periodSeconds: 10, auth: {basic: {name: a}}}`, "auth belongs to httpGet and target.url"},
	"two passwords":                   {`{target: {url: "http://a"}, periodSeconds: 10, auth: {basic: {name: a}, bearerToken: {name: a, key: b}}}`, "write exactly one of auth.basic and auth.bearerToken"},
	"maintenance at no time":          {`{dns: {name: a}, periodSeconds: 10, maintenance: [{start: "24:00", durationMinutes: 5}]}`, "write start as HH:MM"},
	"a consequence for whoever":       {`{httpGet: {port: 80}, periodSeconds: 10, target: {service: {name: a}}, takeOutOfService: {}}`, "takeOutOfService needs to know which pod failed"},
	"headers of a connection":         {`{tcpSocket: {port: 1, host: a}, periodSeconds: 10, expect: {headers: [{name: a}]}}`, "expect.headers and expect.json belong to httpGet"},
	"no trust and some": {
		`{target: {url: "https://a"}, periodSeconds: 10, tlsConfig: {insecureSkipVerify: true, caBundle: {name: a, key: b}}}`,
		"insecureSkipVerify trusts every certificate",
	},
	"a value that equals and matches": {`{target: {url: "https://a"}, periodSeconds: 10, expect: {json: [{path: .a, equals: b, matches: c}]}}`, "write equals or matches, not both"},
	"a header that is no name":        {`{target: {url: "https://a"}, periodSeconds: 10, expect: {headers: [{name: "a: b"}]}}`, "write the name of a header"},
	"two rhythms":                     {`{dns: {name: a}, periodSeconds: 10, schedule: "@daily"}`, "write either periodSeconds (every so many seconds) or schedule"},
	"a zone without a clock":          {`{dns: {name: a}, periodSeconds: 10, timeZone: Asia/Seoul}`, "timeZone belongs to schedule"},
	"runs that overlap":               {`{dns: {name: a}, periodSeconds: 10, timeoutSeconds: 10}`, "timeoutSeconds must be less than periodSeconds"},
	"a schedule of six fields": {
		`{dns: {name: a}, schedule: "0 */5 * * * *"}`,
		"write schedule as five fields",
	},
	"a schedule with a zone in it":  {`{dns: {name: a}, schedule: "TZ=Asia/Seoul 0 0 * * *"}`, "write schedule as five fields"},
	"a schedule as an interval":     {`{dns: {name: a}, schedule: "@every 5m"}`, "write schedule as five fields"},
	"HTTP to nobody":                {`{httpGet: {port: 80}, periodSeconds: 10}`, "say once whom httpGet asks"},
	"HTTP to two":                   {`{httpGet: {port: 80, host: a}, periodSeconds: 10, target: {host: b}}`, "say once whom httpGet asks"},
	"TCP to nobody":                 {`{tcpSocket: {port: 80, host: ""}, periodSeconds: 10}`, "say once whom tcpSocket asks"},
	"gRPC to nobody":                {`{grpc: {port: 80}, periodSeconds: 10}`, "grpc and tls need a target"},
	"a command on a node":           {`{exec: {command: [id]}, periodSeconds: 10, target: {nodes: {}}}`, "exec runs in containers"},
	"DNS with a target":             {`{dns: {name: a}, periodSeconds: 10, target: {host: a}}`, "dns, synthetic and podTemplate take no target"},
	"a named port of a bare host":   {`{httpGet: {port: web, host: a}, periodSeconds: 10}`, "write httpGet.port as a number from 1 to 65535"},
	"TCP port 0":                    {`{tcpSocket: {port: 0, host: a}, periodSeconds: 10}`, "write tcpSocket.port as a number from 1 to 65535"},
	"a named TLS port of a node":    {`{tls: {port: api}, periodSeconds: 10, target: {nodes: {}}}`, "write tls.port as a number from 1 to 65535"},
	"gRPC port 65536":               {`{grpc: {port: 65536}, periodSeconds: 10, target: {host: a}}`, "write grpc.port as a number from 1 to 65535"},
	"two targets":                   {`{tls: {port: 1}, periodSeconds: 10, target: {host: a, nodes: {}}}`, "write exactly one of target.url, target.host"},
	"a URL for a host":              {`{tls: {port: 1}, periodSeconds: 10, target: {host: "https://a/b"}}`, "write host as a bare name or address"},
	"a status code of a command":    {`{exec: {command: [id]}, periodSeconds: 10, target: {pods: {selector: {}}}, expect: {statusCodes: ["200"]}}`, "expect.statusCodes belongs to httpGet and target.url"},
	"a status code that is none":    {`{httpGet: {port: 1, host: a}, periodSeconds: 10, expect: {statusCodes: ["2xx"]}}`, "write a status code ('204') or a range"},
	"a pattern for a connection":    {`{tcpSocket: {port: 1, host: a}, periodSeconds: 10, expect: {matches: a}}`, "expect.matches belongs to httpGet and target.url (the body) and exec"},
	"records of a web server":       {`{httpGet: {port: 1, host: a}, periodSeconds: 10, expect: {records: [a]}}`, "expect.records belongs to dns"},
	"a certificate of plain HTTP":   {`{httpGet: {port: 1, host: a}, periodSeconds: 10, expect: {certificateDaysLeft: 7}}`, "expect.certificateDaysLeft belongs to tls"},
	"the latency of a scenario":     {`{synthetic: {scenario: dns}, periodSeconds: 10, expect: {latencyMilliseconds: 7}}`, "expect.latencyMilliseconds belongs to probes"},
	"a scenario's name in capitals": {`{synthetic: {scenario: DNS}, periodSeconds: 10}`, "write scenario as one lower-case word"},
	"no failure allowed":            {`{dns: {name: a}, periodSeconds: 10, failureThreshold: -1}`, "spec.failureThreshold in body should be greater than or equal to 1"},
	"a period below a second":       {`{dns: {name: a}, periodSeconds: 0}`, "spec.periodSeconds in body should be greater than or equal to 1"},
	"a misspelt field":              {`{dns: {name: a}, periodSeconds: 10, faillureThreshold: 2}`, `unknown field "spec.faillureThreshold"`},
}

func newCheck(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	check := newObject(t, "Check", spec)
	check.SetNamespace("default")
	return check
}

// newObject makes one of a kind that has a name of its own.
func newObject(t *testing.T, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(spec), &fields); err != nil {
		t.Fatalf("spec of the test case: %v", err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	object.SetGenerateName(strings.ToLower(kind) + "-")
	return object
}

// accepted holds that the API server takes an object.
func accepted(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	ctx, c := t.Context(), cluster
	if err := client.WithFieldValidation(c, metav1.FieldValidationStrict).Create(ctx, object, client.DryRunAll); err != nil {
		t.Errorf("create: %v", err)
	}
}

// refused holds that it refuses one, and says what is wanted.
func refused(t *testing.T, object *unstructured.Unstructured, want string) {
	t.Helper()
	ctx, c := t.Context(), cluster
	err := client.WithFieldValidation(c, metav1.FieldValidationStrict).Create(ctx, object, client.DryRunAll)
	if err == nil {
		t.Fatal("the API server accepted it")
	}
	if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
		t.Fatalf("refused for another reason: %v", err)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("refusal %q does not say %q", err, want)
	}
}

func TestGoodChecksAreAccepted(t *testing.T) {
	for name, spec := range goodChecks {
		t.Run(name, func(t *testing.T) { accepted(t, newCheck(t, spec)) })
	}
}

func TestBadChecksAreRefusedWithWhatToWriteInstead(t *testing.T) {
	for name, tc := range badChecks {
		t.Run(name, func(t *testing.T) { refused(t, newCheck(t, tc.spec), tc.want) })
	}
}

func TestEveryRuleOfTheCheckHasACaseThatItRefuses(t *testing.T) {
	data, err := fs.ReadFile(config.CustomResourceDefinitions(), "maek.dev_checks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		t.Fatal(err)
	}
	messages := ruleMessages(*crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
	if len(messages) == 0 {
		t.Fatal("the definition has no rules")
	}
	for _, message := range messages {
		covered := false
		for _, tc := range badChecks {
			covered = covered || strings.HasPrefix(message, tc.want)
		}
		if !covered {
			t.Errorf("no case is refused with %q", message)
		}
	}
}

// ruleMessages returns the messages of all CEL rules of a schema, sorted.
func ruleMessages(schema apiextensionsv1.JSONSchemaProps) []string {
	var messages []string
	for _, rule := range schema.XValidations {
		messages = append(messages, rule.Message)
	}
	for _, property := range schema.Properties {
		messages = append(messages, ruleMessages(property)...)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		messages = append(messages, ruleMessages(*schema.Items.Schema)...)
	}
	slices.Sort(messages)
	return messages
}

func TestDefaultsAreFilledInAndAPodTemplateIsKeptWhole(t *testing.T) {
	ctx, c := t.Context(), cluster
	created := newCheck(t, goodChecks["a pod, whose fields are not ours"])
	if err := c.Create(ctx, created, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	tomorrow, found, err := unstructured.NestedInt64(created.Object, "spec", "podTemplate", "spec", "fieldOfTomorrow")
	if err != nil || !found || tomorrow != 1 {
		t.Errorf("an unknown field of the pod was not kept: %v", created.Object)
	}
	var check v1alpha1.Check
	unstructured.RemoveNestedField(created.Object, "spec", "podTemplate", "spec", "fieldOfTomorrow")
	data, err := created.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, &check); err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.CheckSpec{
		PeriodSeconds:    300,
		SuccessThreshold: 1,
		FailureThreshold: 3,
		From:             v1alpha1.FromOperator,
		Semantics:        v1alpha1.SemanticsStrict,
		CheckAction: v1alpha1.CheckAction{PodTemplate: &corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "c", Image: "i"}},
			},
		}},
	}
	if diff := cmp.Diff(want, check.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}
