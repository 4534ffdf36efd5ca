package admission

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseExcess(t *testing.T) {
	tests := map[string]struct {
		message  string
		wantName string
		want     string
	}{
		"one resource": {
			message:  `pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3`,
			wantName: "q", want: "pods: 3 of 3 used, 1 more asked for",
		},
		"several resources": {
			message:  `exceeded quota: team.a, requested: limits.memory=1Gi,requests.cpu=500m, used: limits.memory=8Gi,requests.cpu=4, limited: limits.memory=8Gi,requests.cpu=4`,
			wantName: "team.a", want: "limits.memory: 8Gi of 8Gi used, 1Gi more asked for, requests.cpu: 4 of 4 used, 500m more asked for",
		},
		"a count of a kind": {
			message:  `exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=10, limited: count/jobs.batch=10`,
			wantName: "q", want: "count/jobs.batch: 10 of 10 used, 1 more asked for",
		},
		"another refusal":      {message: `failed quota: q: must specify requests.cpu for: c`},
		"numbers that are not": {message: `exceeded quota: q, requested: pods, used: pods, limited: pods`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e, ok := parseExcess(tc.message)
			if ok != (tc.want != "") {
				t.Fatalf("parsed: %t", ok)
			}
			if !ok {
				return
			}
			if e.quota != tc.wantName {
				t.Errorf("quota %q, want %q", e.quota, tc.wantName)
			}
			if diff := cmp.Diff(tc.want, e.inWords().EN); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBoundsIn(t *testing.T) {
	message := `[maximum cpu usage per Container is 500m, but limit is 2, minimum memory usage per Pod is 64Mi.  No request is specified, ` +
		`memory max limit to request ratio per Container is 2, but provided ratio is 4.000000]`
	var got []string
	for _, b := range boundsIn(message) {
		got = append(got, b.field())
	}
	want := []string{".spec.limits[Container].max[cpu]", ".spec.limits[Pod].min[memory]", ".spec.limits[Container].maxLimitRequestRatio[memory]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
