package crd

import (
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/config"
)

var goodPolicies = map[string]string{
	"nothing, for all":          `{namespaceSelector: {}}`,
	"names":                     `{namespaceSelector: {matchLabels: {team: shop}}, hosts: [api.example.com, API.example.com., localhost, cart.other.svc, xn--bcher-kva.example]}`,
	"names with underscores":    `{namespaceSelector: {}, hosts: [_sip.example.com, "*._tcp.example.com", a_b_.example.com]}`,
	"names with digits":         `{namespaceSelector: {}, hosts: [1.example.com, 3com, "0xff.example", x0x1]}`,
	"a wildcard":                `{namespaceSelector: {}, hosts: ["*.example.com", "*.svc"]}`,
	"addresses":                 `{namespaceSelector: {}, hosts: [10.0.0.1, "2001:db8::1"]}`,
	"networks":                  `{namespaceSelector: {}, hosts: [10.20.0.0/16, 0.0.0.0/0, "2001:db8::/32", "::/0"]}`,
	"nodes":                     `{namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}, nodes: true}`,
	"a consequence":             `{namespaceSelector: {}, takeOutOfService: {mode: Enforce, maxFailingPercent: 100, maxOut: 1000, secondsApart: 1, maxSeconds: 30, maxTimesADay: 100}}`,
	"a consequence by day":      `{namespaceSelector: {}, takeOutOfService: {windows: [{days: [Mon, Fri], start: "09:00", durationMinutes: 540, timeZone: Asia/Seoul}, {start: "00:00", durationMinutes: 60}]}}`,
	"a consequence, by default": `{namespaceSelector: {}, takeOutOfService: {}}`,
}

const (
	notAHost      = "write a name (api.example.com), a wildcard (*.example.com), an address or a network (10.20.0.0/16)"
	notATime      = "write start as HH:MM of the 24-hour clock, such as 02:00"
	endsInANumber = "what ends in a number is an address to some and a name to others; write all four numbers of an IPv4 address, in decimals"
)

var badPolicies = map[string]struct {
	spec string
	want string
}{
	"for whom is not said":          {`{nodes: true}`, "spec.namespaceSelector: Required value"},
	"a host with a scheme":          {`{namespaceSelector: {}, hosts: ["https://example.com"]}`, notAHost},
	"a host with a port":            {`{namespaceSelector: {}, hosts: ["example.com:443"]}`, notAHost},
	"a host with a path":            {`{namespaceSelector: {}, hosts: [example.com/a]}`, notAHost},
	"every host":                    {`{namespaceSelector: {}, hosts: ["*"]}`, notAHost},
	"a wildcard within a label":     {`{namespaceSelector: {}, hosts: ["api-*.example.com"]}`, notAHost},
	"a wildcard in the middle":      {`{namespaceSelector: {}, hosts: ["api.*.example.com"]}`, notAHost},
	"a wildcard without its dot":    {`{namespaceSelector: {}, hosts: ["*example.com"]}`, notAHost},
	"two wildcards":                 {`{namespaceSelector: {}, hosts: ["*.*.example.com"]}`, notAHost},
	"a network too long":            {`{namespaceSelector: {}, hosts: [10.0.0.0/33]}`, notAHost},
	"a zone":                        {`{namespaceSelector: {}, hosts: ["fe80::1%eth0"]}`, notAHost},
	"brackets":                      {`{namespaceSelector: {}, hosts: ["[2001:db8::1]"]}`, notAHost},
	"an address of two numbers":     {`{namespaceSelector: {}, hosts: ["127.1"]}`, endsInANumber},
	"an address of one number":      {`{namespaceSelector: {}, hosts: ["2130706433"]}`, endsInANumber},
	"an address in hexadecimals":    {`{namespaceSelector: {}, hosts: ["0X7f.1.0xFF"]}`, endsInANumber},
	"an address with zeros":         {`{namespaceSelector: {}, hosts: ["010.0.0.1"]}`, endsInANumber},
	"an address with a dot":         {`{namespaceSelector: {}, hosts: ["10.0.0.1."]}`, endsInANumber},
	"a wildcard of a number":        {`{namespaceSelector: {}, hosts: ["*.1"]}`, endsInANumber},
	"a name of other letters":       {`{namespaceSelector: {}, hosts: [bücher.example]}`, notAHost},
	"a name with a space":           {`{namespaceSelector: {}, hosts: ["example.com "]}`, notAHost},
	"an empty name":                 {`{namespaceSelector: {}, hosts: [""]}`, "spec.hosts[0] in body should be at least 1 chars long"},
	"a host twice":                  {`{namespaceSelector: {}, hosts: [a, a]}`, `spec.hosts[1]: Duplicate value: "a"`},
	"a mode that is none":           {`{namespaceSelector: {}, takeOutOfService: {mode: Warn}}`, `Unsupported value: "Warn"`},
	"none of three may fail":        {`{namespaceSelector: {}, takeOutOfService: {maxFailingPercent: 0}}`, "maxFailingPercent in body should be greater than or equal to 1"},
	"more than all may fail":        {`{namespaceSelector: {}, takeOutOfService: {maxFailingPercent: 101}}`, "maxFailingPercent in body should be less than or equal to 100"},
	"out for a moment":              {`{namespaceSelector: {}, takeOutOfService: {maxSeconds: 29}}`, "maxSeconds in body should be greater than or equal to 30"},
	"out for more than a day":       {`{namespaceSelector: {}, takeOutOfService: {maxSeconds: 86401}}`, "maxSeconds in body should be less than or equal to 86400"},
	"none out at a time":            {`{namespaceSelector: {}, takeOutOfService: {maxOut: 0}}`, "maxOut in body should be greater than or equal to 1"},
	"hours that begin at no time":   {`{namespaceSelector: {}, takeOutOfService: {windows: [{start: "9:00", durationMinutes: 60}]}}`, notATime},
	"hours without an end":          {`{namespaceSelector: {}, takeOutOfService: {windows: [{start: "09:00"}]}}`, "durationMinutes: Required value"},
	"a misspelt field":              {`{namespaceSelector: {}, node: true}`, `unknown field "spec.node"`},
	"an address that is but a part": {`{namespaceSelector: {}, hosts: [10.0.0.0/16/8]}`, notAHost},
}

func newPolicy(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	return newObject(t, "CheckPolicy", spec)
}

func TestGoodCheckPoliciesAreAccepted(t *testing.T) {
	for name, spec := range goodPolicies {
		t.Run(name, func(t *testing.T) { accepted(t, newPolicy(t, spec)) })
	}
}

func TestBadCheckPoliciesAreRefusedWithWhatToWriteInstead(t *testing.T) {
	for name, tc := range badPolicies {
		t.Run(name, func(t *testing.T) { refused(t, newPolicy(t, tc.spec), tc.want) })
	}
}

func TestEveryRuleOfTheCheckPolicyHasACaseThatItRefuses(t *testing.T) {
	data, err := fs.ReadFile(config.CustomResourceDefinitions(), "maek.dev_checkpolicies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{endsInANumber, notAHost, notATime}, ruleMessages(*crd.Spec.Versions[0].Schema.OpenAPIV3Schema)); diff != "" {
		t.Errorf("rules of the definition, of which each needs a case (-want +got):\n%s", diff)
	}
}

func TestDefaultsOfTheCheckPolicyAreTheCautiousOnes(t *testing.T) {
	ctx, c := t.Context(), cluster
	created := newPolicy(t, goodPolicies["a consequence, by default"])
	if err := c.Create(ctx, created, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	data, err := created.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var policy v1alpha1.CheckPolicy
	if err := yaml.UnmarshalStrict(data, &policy); err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.CheckPolicySpec{TakeOutOfService: &v1alpha1.TakeOutOfServicePolicy{
		Mode: v1alpha1.ModeDryRun, MaxFailingPercent: 30, MaxOut: 5, SecondsApart: 300, MaxSeconds: 1800, MaxTimesADay: 3,
	}}
	if diff := cmp.Diff(want, policy.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}
