package finding

import "testing"

func TestAgree(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"a consonant that is read":             {"노드 w1를 복구합니다", "노드 w1을 복구합니다"},
		"a vowel that is read":                 {"노드 w2을 복구합니다", "노드 w2를 복구합니다"},
		"what is right already":                {"노드 w2는 응답하지 않습니다.", "노드 w2는 응답하지 않습니다."},
		"the liquid before 로":                  {"노드 w1으로 옮깁니다", "노드 w1로 옮깁니다"},
		"another consonant before 로":           {"노드 w3로 옮깁니다", "노드 w3으로 옮깁니다"},
		"a letter that is a consonant":         {"namespace kube-system를 제외합니다", "namespace kube-system을 제외합니다"},
		"a letter that tells nothing":          {"Service web를 확인합니다", "Service web를 확인합니다"},
		"at the end":                           {"pv-1가", "pv-1이"},
		"a word that goes on":                  {"이유는 3가지입니다", "이유는 3가지입니다"},
		"several in one sentence":              {"w1와 w3는 db-0가 씁니다", "w1과 w3은 db-0이 씁니다"},
		"a unit between a number and particle": {"Pod 3개가 남았습니다", "Pod 3개가 남았습니다"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := agree(tc.in); got != tc.want {
				t.Errorf("agree(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}
