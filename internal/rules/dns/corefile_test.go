package dns

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// usual is the Corefile that kubeadm installs
// (k8s.io/kubernetes/cmd/kubeadm/app/phases/addons/dns/manifests.go), with room for one thing more.
func usual(more string) string {
	return `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
` + more + `
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
`
}

func TestTheCorefileIsReadAsCoreDNSReadsIt(t *testing.T) {
	text := "# comment\n(common) {\n  errors\n  cache 30\n}\n.:53, example.com { # keys\n  import common\n  template IN A \"a b\" {\n    match \"^x\\\"y$\"\n    rcode NXDOMAIN\n  }\n}\nimport /etc/coredns/*.server\n"
	got, err := parseCorefile(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []serverBlock{
		{keys: []string{".:53", "example.com"}, directives: []directive{
			{name: "errors", line: 3},
			{name: "cache", args: []string{"30"}, line: 4},
			{name: "template", args: []string{"IN", "A", "a b"}, block: [][]string{{"match", `^x"y$`}, {"rcode", "NXDOMAIN"}}, line: 8},
		}},
		{directives: []directive{{name: "import", args: []string{"/etc/coredns/*.server"}, line: 13}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(serverBlock{}, directive{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, broken := range map[string]string{
		"a block that is not closed": ".:53 {\n errors\n", "a plugin's block that is not closed": ".:53 {\n health {\n }\n", "no braces": ".:53\n",
	} {
		if blocks, err := parseCorefile(broken); err == nil {
			t.Errorf("%s: read as %v, want an error", name, blocks)
		}
	}
}

func TestWhatKeepsNamesOfServicesFromTheKubernetesPlugin(t *testing.T) {
	tests := map[string]struct {
		corefile string
		want     string // the directive to blame; "-" where the plugin is missing
	}{
		"nothing in the usual Corefile":                        {corefile: usual("")},
		"a template for their domain":                          {corefile: usual("template ANY ANY svc.cluster.local {\n rcode NXDOMAIN\n }"), want: "template ANY ANY svc.cluster.local"},
		"a template that stands after the plugin in the file":  {corefile: ".:53 {\n kubernetes cluster.local\n template ANY ANY cluster.local {\n  rcode NXDOMAIN\n }\n}\n", want: "template ANY ANY cluster.local"},
		"not a template for addresses of IPv6":                 {corefile: usual("template IN AAAA {\n rcode NOERROR\n }")},
		"not a template for another domain":                    {corefile: usual("template ANY ANY corp.example {\n rcode NXDOMAIN\n }")},
		"not a template with a pattern and fallthrough":        {corefile: usual("template ANY A {\n match \\.corp\\.example\\.$\n fallthrough\n rcode NXDOMAIN\n }")},
		"a template with a pattern and no fallthrough":         {corefile: usual("template ANY A {\n match \\.corp\\.example\\.$\n rcode NXDOMAIN\n }"), want: "template ANY A"},
		"a template with a pattern that is too wide":           {corefile: usual("template ANY A {\n match .*\\.local\\.\n fallthrough\n rcode NXDOMAIN\n }"), want: "template ANY A"},
		"hosts without fallthrough":                            {corefile: usual("hosts {\n 10.0.0.5 db.corp.example\n }"), want: "hosts"},
		"not hosts with fallthrough":                           {corefile: usual("hosts {\n 10.0.0.5 db.corp.example\n fallthrough\n }")},
		"not hosts for a zone":                                 {corefile: usual("hosts /etc/hosts corp.example")},
		"hosts that fall through for another zone":             {corefile: usual("hosts {\n 10.0.0.5 db.corp.example\n fallthrough corp.example\n }"), want: "hosts"},
		"a rewrite out of the domain":                          {corefile: usual("rewrite name suffix .cluster.local .example.com"), want: "rewrite name suffix .cluster.local .example.com"},
		"not a rewrite into the domain":                        {corefile: usual("rewrite name suffix .corp.example .default.svc.cluster.local answer auto")},
		"not a rewrite of one other name":                      {corefile: usual("rewrite name regex (.*)\\.corp\\.example {1}.default.svc.cluster.local")},
		"a zone of its own that is forwarded":                  {corefile: usual("") + "cluster.local:53 {\n forward . 10.0.0.2\n}\n", want: "-"},
		"not a zone of its own elsewhere":                      {corefile: usual("") + "consul.local:53 {\n forward . 10.0.0.2\n}\n"},
		"no kubernetes plugin":                                 {corefile: ".:53 {\n errors\n forward . /etc/resolv.conf\n}\n", want: "-"},
		"nothing that can be said where files are imported":    {corefile: ".:53 {\n import /etc/coredns/*.conf\n forward . /etc/resolv.conf\n}\n"},
		"nothing that can be said of a plugin of another make": {corefile: ".:53 {\n kubernetai cluster.local\n forward . /etc/resolv.conf\n}\n"},
		"another domain":                                       {corefile: ".:53 {\n kubernetes k8s.example in-addr.arpa\n template ANY ANY k8s.example {\n  rcode NXDOMAIN\n }\n}\n", want: "template ANY ANY k8s.example"},
		"nothing on a port of which nobody asks":               {corefile: ".:1053 {\n hosts {\n  10.0.0.5 x.example\n }\n}\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			blocks, err := parseCorefile(tc.corefile)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if o, found := overrides(blocks, "53"); found {
				got = o.directive.String()
				if o.directive.name == "" {
					got = "-"
				}
				if o.what.EN == "" || o.what.KO == "" {
					t.Error("it does not say what it does in both languages")
				}
			}
			if got != tc.want {
				t.Errorf("blamed %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzCorefile holds that no Corefile, which anybody may write, breaks the rules.
func FuzzCorefile(f *testing.F) {
	for _, seed := range []string{
		usual(""), "a {\n template IN A {\n match (\n }\n}", ".:53 {\n rewrite stop {\n name regex (a)(b) {1}.{2}\n }\n}", ".{}", ". {\n hosts a b {\n } {\n }", "import \"", "(a) {\n import a\n}\n. {\n import a\n}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		blocks, err := parseCorefile(text)
		if err != nil {
			return
		}
		if o, found := overrides(blocks, "53"); found && (o.what.EN == "" || o.name == "") {
			t.Errorf("found an override that says nothing: %+v", o)
		}
	})
}
