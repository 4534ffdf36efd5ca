package expect_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/maek-dev/maek/internal/operator/check/expect"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// What a target was shown from a Secret it may send back, on purpose or in a page for debugging: who may read the
// status of a Check must not read the Secret there.
func TestCredentialsAreNotTold(t *testing.T) {
	const password, token = `pa"ss<wörd`, "drawn-by-lot-0123456789"
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + password))
	inJSON := func(value string) string {
		text, err := json.Marshal(map[string]any{"echo": map[string]string{"it": value}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const get = `{httpGet: {port: 80}, expect: `
	tests := map[string]struct {
		authorization, spec string
		outcome             probe.Outcome
	}{
		"a token in the body":       {"Bearer " + token, get + `{matches: "^ok$"}}`, answered(200, "you sent "+token)},
		"a token where it is cut":   {"Bearer " + token, get + `{matches: "^ok$"}}`, answered(200, strings.Repeat("x", 85)+token)},
		"a long token":              {"Bearer " + strings.Repeat(token, 30), get + `{matches: "^ok$"}}`, answered(200, "you sent "+strings.Repeat(token, 30))},
		"a token in a header":       {"Bearer " + token, get + `{headers: [{name: X, equals: ok}]}}`, answered(200, "", "X", "sent:"+token)},
		"a token in many headers":   {"Bearer " + token, get + `{headers: [{name: X, matches: "^ok"}]}}`, answered(200, "", "X", token, "X", token)},
		"a token in JSON":           {"Bearer " + token, get + `{json: [{path: .echo, equals: ok}]}}`, answered(200, inJSON(token))},
		"a token that is no JSON":   {"Bearer " + token, get + `{json: [{path: .echo, equals: ok}]}}`, answered(200, token)},
		"a token in place of HTTP":  {"Bearer " + token, `{httpGet: {port: 80}}`, verdict(probe.Failure, fmt.Sprintf("Get \"http://a/\": net/http: malformed HTTP response %q", token))},
		"a password as it was sent": {"Basic " + basic, get + `{matches: "^ok$"}}`, answered(200, "got "+basic)},
		"a password, read":          {"Basic " + basic, get + `{matches: "^ok$"}}`, answered(200, "got me and "+password)},
		"a password in JSON":        {"Basic " + basic, get + `{json: [{path: .echo, equals: ok}]}}`, answered(200, inJSON(password))},
		"a password in JSON, deep":  {"Basic " + basic, get + `{json: [{path: .echo.it, equals: ok}]}}`, answered(200, inJSON(password))},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			question := plan.Question{Probe: probe.HTTP{URL: &url.URL{Scheme: "http", Host: "a"}, Authorization: tc.authorization}}
			got := expect.Judge(spec(t, tc.spec), plan.Answer{Question: question, Outcome: tc.outcome})
			if got.Reason == "" {
				t.Fatal("a good answer: nothing is told of it")
			}
			for _, part := range []string{token[:6], password[:5], `pa\"ss`, basic[:6]} {
				if strings.Contains(got.Message, part) {
					t.Errorf("%s: %s", got.Reason, got.Message)
				}
			}
			if !strings.Contains(got.Message, "[redacted]") && name != "a token where it is cut" {
				t.Errorf("nothing tells that something was left out: %s", got.Message)
			}
		})
	}
}
