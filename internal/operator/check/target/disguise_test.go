package target_test

import (
	"strings"
	"testing"
	"testing/synctest"
)

// TestMetadataInDisguise asks for the address where clouds keep the credentials of machines in all the ways that
// resolvers, URLs and translators of addresses read it, in a namespace that may ask everybody.
func TestMetadataInDisguise(t *testing.T) {
	everything := policyFor(`nodes: true, hosts: ["0.0.0.0/0", "::/0", "*.example.com", example.com]`)
	url := func(authority string) string { return `{target: {url: "http://` + authority + `/latest/meta-data/"}}` }
	tests := map[string]struct {
		spec string
		// answers is what every name resolves to.
		answers []string
		want    string
	}{
		"in decimals":                       {url("2852039166"), nil, `Refusal TargetInvalid: "2852039166" ends in a number`},
		"in octals":                         {url("0251.0376.0251.0376"), nil, `Refusal TargetInvalid: "0251.0376.0251.0376" ends in a number`},
		"in hexadecimals":                   {url("0xa9.0xfe.0xa9.0xfe"), nil, `Refusal TargetInvalid: "0xa9.0xfe.0xa9.0xfe" ends in a number`},
		"in one hexadecimal":                {url("0xA9FEA9FE"), nil, `Refusal TargetInvalid: "0xA9FEA9FE" ends in a number`},
		"in three numbers":                  {url("169.254.43518"), nil, `Refusal TargetInvalid: "169.254.43518" ends in a number`},
		"with a dot at its end":             {url("169.254.169.254."), nil, `Refusal TargetInvalid: "169.254.169.254." ends in a number`},
		"in percents":                       {url("%31%36%39.254.169.254"), nil, "Refusal "},
		"in wide digits":                    {url("１６９.254.169.254"), nil, "Refusal TargetInvalid: "},
		"mapped":                            {url("[::ffff:169.254.169.254]"), nil, "Refusal NotAllowed: 169.254.169.254 is not asked: it is a link-local"},
		"mapped, and a zone":                {url("[::ffff:169.254.169.254%25eth0]"), nil, "Refusal TargetInvalid: "},
		"translated":                        {url("[::ffff:0:a9fe:a9fe]"), nil, "Refusal NotAllowed: ::ffff:0:a9fe:a9fe is not asked: it is a link-local"},
		"by NAT64":                          {url("[64:ff9b::a9fe:a9fe]"), nil, "Refusal NotAllowed: 64:ff9b::a9fe:a9fe is not asked: it is a link-local"},
		"by NAT64 with a prefix of 48 bits": {url("[64:ff9b:1:a9fe:a9:fe00:808:808]"), nil, "Refusal NotAllowed: 64:ff9b:1:a9fe:a9:fe00:808:808 is not asked: it is a link-local"},
		"by 6to4":                           {url("[2002:a9fe:a9fe::]"), nil, "Refusal NotAllowed: 2002:a9fe:a9fe:: is not asked: it is a link-local"},
		"by Teredo, as the client":          {url("[2001:0:102:304::5601:5601]"), nil, "Refusal NotAllowed: 2001:0:102:304::5601:5601 is not asked: it is a link-local"},
		"by Teredo, as the server":          {url("[2001:0:a9fe:a9fe::1]"), nil, "Refusal NotAllowed: 2001:0:a9fe:a9fe::1 is not asked: it is a link-local"},
		"behind a user":                     {url("example.com@169.254.169.254"), nil, "Refusal NotAllowed: 169.254.169.254 is not asked: it is a link-local"},
		"behind a user and a password":      {url("example.com:80@169.254.169.254"), nil, "Refusal NotAllowed: 169.254.169.254 is not asked: it is a link-local"},
		"behind a backslash":                {url(`example.com\\@169.254.169.254`), nil, "Refusal "},
		"by a name":                         {url("example.com"), []string{"169.254.169.254"}, "Refusal NotAllowed: example.com (169.254.169.254) is not asked: it is a link-local"},
		"by a name in IPv6":                 {url("example.com"), []string{"64:ff9b::a9fe:a9fe"}, "Refusal NotAllowed: example.com (64:ff9b::a9fe:a9fe) is not asked: it is a link-local"},
		"by a name in one's own zone":       {url("a.example.com"), []string{"fd00:ec2::254"}, "Refusal NotAllowed: a.example.com (fd00:ec2::254) is not asked: clouds keep the credentials"},
		"by an ExternalName":                {`{httpGet: {port: 80}, target: {service: {name: forged}}}`, []string{"169.254.169.254"}, "Refusal NotAllowed: example.com (169.254.169.254) is not asked: it is a link-local"},
		"by a host of tcpSocket":            {`{tcpSocket: {port: 80, host: example.com}}`, []string{"169.254.169.254"}, "Refusal NotAllowed: example.com (169.254.169.254)"},
		"by a host of grpc":                 {`{grpc: {port: 80}, target: {host: example.com}}`, []string{"169.254.169.254"}, "Refusal NotAllowed: example.com (169.254.169.254)"},
		"by a host of tls":                  {`{tls: {port: 443}, target: {host: example.com}}`, []string{"169.254.169.254"}, "Refusal NotAllowed: example.com (169.254.169.254)"},
		"by a server of dns":                {`{dns: {name: a, server: example.com}}`, []string{"169.254.169.254"}, "Refusal NotAllowed: example.com (169.254.169.254)"},
		"by a name, from nodes":             {`{httpGet: {port: 80, host: example.com}, from: nodes}`, []string{"169.254.169.254"}, "Refusal NotAllowed: example.com (169.254.169.254)"},
		"by a name, with a header Host":     {`{httpGet: {port: 80, host: example.com, httpHeaders: [{name: Host, value: 169.254.169.254}]}}`, []string{"169.254.169.254"}, "Refusal NotAllowed: example.com (169.254.169.254)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			// In a bubble of time: gRPC goes on trying to connect until its time is over.
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, everything, foreign(`type: ExternalName, externalName: example.com`, ``))
				w.names = func(string) []string { return tc.answers }
				questions, err := w.Resolve(t.Context(), newCheck(t, tc.spec), 0)
				if err == nil {
					err = attempt(t, questions[0]).Err
				}
				if got := refusal(err); !strings.HasPrefix(got, tc.want) {
					t.Errorf("got %q, want %q", got, tc.want)
				}
				if len(w.dialled) > 0 {
					t.Errorf("connected to %v", w.dialled)
				}
			})
		})
	}
}

// TestANameIsLookedUpForEachConnection holds that a name which was good in the run before is looked at in this one.
func TestANameIsLookedUpForEachConnection(t *testing.T) {
	w := newWorld(t, policyFor(`hosts: [example.com]`))
	now := "203.0.113.5"
	w.names = func(string) []string { return []string{now} }
	questions, err := w.Resolve(t.Context(), newCheck(t, `{target: {url: "http://example.com/"}}`), 0)
	if err != nil {
		t.Fatal(refusal(err))
	}
	if got := refusal(attempt(t, questions[0]).Err); strings.HasPrefix(got, "Refusal") {
		t.Errorf("the first time: %s", got)
	}
	now = "169.254.169.254"
	if got := refusal(attempt(t, questions[0]).Err); !strings.HasPrefix(got, "Refusal NotAllowed: example.com (169.254.169.254)") {
		t.Errorf("the second time: %s", got)
	}
	if len(w.dialled) != 1 {
		t.Errorf("connected to %v", w.dialled)
	}
}
