package machine

import "testing"

func TestWanted(t *testing.T) {
	tests := map[string]struct {
		names          []string
		writer, source string
		want           bool
	}{
		"without names all are":            {nil, "kubelet", "journal", true},
		"its writer":                       {[]string{"kubelet"}, "kubelet", "journal", true},
		"its unit, with its ending":        {[]string{"kubelet.service"}, "kubelet", "journal", true},
		"one of several":                   {[]string{"etcd", "kernel"}, "kernel", "kernel", true},
		"a part of its log's name":         {[]string{"coredns"}, "coredns-1", "kube-system/coredns-1/coredns", true},
		"another":                          {[]string{"etcd"}, "kubelet", "journal", false},
		"a name that only begins the same": {[]string{"kube"}, "kubelet", "journal", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := wanted(tc.names, tc.writer, tc.source); got != tc.want {
				t.Errorf("wanted: %t", got)
			}
		})
	}
}

func TestAHintForWhoWaitsForNobody(t *testing.T) {
	for name, tc := range map[string]struct {
		names, writers []string
		want           string
	}{
		"a name that is misspelt": {[]string{"kublet"}, []string{"kubelet", "kernel", "kubelet"}, "no line of kublet so far; there are lines of kernel, kubelet"},
		"a machine that is quiet": {[]string{"etcd", "flanneld"}, nil, "no line of etcd, flanneld so far"},
		"one that writes":         {[]string{"kubelet"}, []string{"kernel", "kubelet"}, ""},
		"all are asked for":       {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := chosen{names: tc.names}
			for _, w := range tc.writers {
				c.takes(w, "journal")
			}
			if got := c.hint(); got != tc.want {
				t.Errorf("hint %q, want %q", got, tc.want)
			}
		})
	}
}
