package yamlfile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/monitors/yamlfile"
)

func TestDecode(t *testing.T) {
	const head = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"
	tests := map[string]struct {
		data             string
		refused, ignored *yamlfile.Mistake
	}{
		"a good file": {data: head},
		"a word that is no field": {
			data:    head + "bad\n",
			refused: &yamlfile.Mistake{Text: "could not find expected ':'", Line: 5, Quote: "bad"},
		},
		"a tab": {
			data:    head + "spec:\n\thostNetwork: true\n",
			refused: &yamlfile.Mistake{Text: "found character that cannot start any token", Line: 6, Quote: "hostNetwork: true"},
		},
		"a value of the wrong type": {
			data: head + "spec:\n  hostNetwork: always\n",
			refused: &yamlfile.Mistake{
				Text: "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool", Line: 6, Quote: "hostNetwork: always",
			},
		},
		"the value of an environment variable, which may be a secret": {
			data:    head + "spec:\n  containers:\n  - env:\n    - name: A\n      value: b: c\n",
			refused: &yamlfile.Mistake{Text: "mapping values are not allowed in this context", Line: 9, Quote: "value: [redacted]"},
		},
		"a field that nobody knows": {
			data:    head + "spec:\n  hostNetworking: true\n",
			ignored: &yamlfile.Mistake{Text: `json: unknown field "hostNetworking"`, Line: 6, Quote: "hostNetworking: true"},
		},
		"a field that is there twice": {
			data:    head + "kind: Pod\n",
			ignored: &yamlfile.Mistake{Text: `key "kind" already set in map`, Line: 5, Quote: "kind: Pod"},
		},
		"binary rubbish": {
			data:    "\x00\x01\x02",
			refused: &yamlfile.Mistake{Text: "control characters are not allowed"},
		},
		"an empty file": {},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var pod corev1.Pod
			refused, ignored := yamlfile.Decode([]byte(tc.data), &pod)
			if diff := cmp.Diff([]*yamlfile.Mistake{tc.refused, tc.ignored}, []*yamlfile.Mistake{refused, ignored}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
