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
