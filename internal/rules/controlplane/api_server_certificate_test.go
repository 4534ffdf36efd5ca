package controlplane

import (
	"testing"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

func TestOfServingCertificate(t *testing.T) {
	cases := map[string]struct {
		mechanism v1alpha1.Mechanism
		path      string
		want      bool
	}{
		"the file of the serving certificate":               {v1alpha1.MechanismExpired, "certificate /etc/kubernetes/pki/apiserver.crt not-after", true},
		"the file of a client's certificate":                {v1alpha1.MechanismExpired, "certificate /etc/kubernetes/pki/apiserver-etcd-client.crt not-after", false},
		"the API server is missed for some other reason":    {v1alpha1.MechanismStopped, "certificate /etc/kubernetes/pki/apiserver.crt not-after", false},
		"the file of a server that is no API server at all": {v1alpha1.MechanismExpired, "certificate /etc/kubernetes/pki/etcd/server.crt not-after", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cause := finding.Finding{Evidence: []finding.Evidence{{Path: "certificate /etc/kubernetes/admin.conf not-after"}, {Path: tc.path}}}
			if got := ofServingCertificate(nil, finding.Finding{Mechanism: tc.mechanism}, cause); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}
