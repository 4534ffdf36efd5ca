package expect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/expect"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

func TestJSON(t *testing.T) {
	const body = `{"status":"ok","n":3,"f":3.0,"big":9007199254740993,"yes":true,"none":null,"o":{"b":1,"a":[]},
		"items":[{"name":"a","ready":true},{"name":"b","ready":false}],"a.b":"dotted","text":"true"}`
	tests := map[string]struct {
		expect, body string
		want         string
	}{
		"a text":                   {`{path: .status, equals: ok}`, body, ""},
		"a text, without the dot":  {`{path: status, equals: ok}`, body, ""},
		"a text, from the root":    {`{path: $.status, equals: ok}`, body, ""},
		"a text, in braces":        {`{path: "{.status}", equals: ok}`, body, ""},
		"another text":             {`{path: .status, equals: fine}`, body, `UnexpectedJSON: .status is "ok", expected "fine"`},
		"a number":                 {`{path: .n, equals: "3"}`, body, ""},
		"a number, written longer": {`{path: .n, equals: "3.0"}`, body, ""},
		"a fraction":               {`{path: .f, equals: "3"}`, body, ""},
		"a large number":           {`{path: .big, equals: "9007199254740993"}`, body, ""},
		"a number beside it":       {`{path: .big, equals: "9007199254740992"}`, `{"big":9007199254740993}`, `UnexpectedJSON: .big is "9007199254740993", expected "9007199254740992"`},
		"true":                     {`{path: .yes, equals: "true"}`, body, ""},
		"a text of the same word":  {`{path: .text, equals: "true"}`, body, ""},
		"null":                     {`{path: .none, equals: "null"}`, body, ""},
		"null is there":            {`{path: .none}`, body, ""},
		"an object, in any order":  {`{path: .o, equals: '{"a": [], "b": 1.0}'}`, body, ""},
		"something":                {`{path: .o}`, body, ""},
		"nothing":                  {`{path: .p}`, body, `UnexpectedJSON: the body has nothing at .p`},
		"nothing within nothing":   {`{path: .p.q.r}`, body, `UnexpectedJSON: the body has nothing at .p.q.r`},
		"nothing beyond the end":   {`{path: ".items[7].name"}`, body, `UnexpectedJSON: the body has nothing at .items[7].name`},
		"nothing within a number":  {`{path: .n.m}`, body, `UnexpectedJSON: the body has nothing at .n.m`},
		"an element":               {`{path: ".items[0].name", equals: a}`, body, ""},
		"the last element":         {`{path: ".items[-1].name", equals: b}`, body, ""},
		"all elements":             {`{path: ".items[*].name", matches: "^[ab]$"}`, body, ""},
		"one of all is not":        {`{path: ".items[*].ready", equals: "true"}`, body, `UnexpectedJSON: .items[*].ready is "false", expected "true"`},
		"a filter":                 {`{path: '.items[?(@.name=="b")].ready', equals: "false"}`, body, ""},
		"a filter for numbers":     {`{path: '.l[?(@.n>2)].m', equals: x}`, `{"l":[{"n":1,"m":"y"},{"n":3,"m":"x"}]}`, ""},
		"a name with a dot":        {`{path: '.a\.b', equals: dotted}`, body, ""},
		"a pattern":                {`{path: .status, matches: "^o"}`, body, ""},
		"another pattern":          {`{path: .n, matches: "^4"}`, body, `UnexpectedJSON: .n is "3", expected something that matches "^4"`},
		"everywhere":               {`{path: "..name", matches: "^[ab]$"}`, body, ""},
		"no JSON":                  {`{path: .a}`, "<html>", `UnexpectedJSON: the body is not JSON; it begins with "<html>"`},
		"no body":                  {`{path: .a}`, "", `UnexpectedJSON: the body is not JSON; it begins with ""`},
		"more after it":            {`{path: .a}`, `{"a":1} {"a":2}`, `UnexpectedJSON: the body is not JSON; it begins with "{\"a\":1} {\"a\":2}"`},
		"a text alone":             {`{path: .a}`, `"a"`, `UnexpectedJSON: the body has nothing at .a`},
		"nested without end":       {`{path: .a}`, strings.Repeat("[", 1<<20), "UnexpectedJSON: the body is nested more than 100 deep"},
		"values without end":       {`{path: .a}`, "[" + strings.Repeat("1,", 200_000) + "1]", "UnexpectedJSON: the body has more than 100000 values"},
		"brackets in a text":       {`{path: .a, matches: "^\\["}`, `{"a":"` + strings.Repeat("[", 200) + `\"["}`, ""},
		"a path that is none":      {`{path: ".a["}`, body, `ExpectationInvalid: the path ".a[" cannot be used: unterminated array`},
		"several paths":            {`{path: "{.a}{.b}"}`, body, `ExpectationInvalid: the path "{.a}{.b}" cannot be used: write one path, without braces`},
		"a path that multiplies":   {`{path: ".[*,*][*,*][*,*]..a..b"}`, body, `ExpectationInvalid: the path ".[*,*][*,*][*,*]..a..b" cannot be used: write '..' once at most`},
		"a union of unions":        {`{path: ".` + strings.Repeat("[0,0]", 40) + `"}`, strings.Repeat("[", 40) + strings.Repeat("]", 40), "ExpectationInvalid: "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := expect.Judge(spec(t, `{httpGet: {port: 80}, expect: {json: [`+tc.expect+`]}}`), plan.Answer{Outcome: answered(200, tc.body)})
			text := ""
			if got.Result != v1alpha1.ResultSuccess {
				text = got.Reason + ": " + got.Message
			}
			if strings.HasSuffix(tc.want, ": ") && strings.HasPrefix(text, tc.want) {
				return
			}
			if diff := cmp.Diff(tc.want, text); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJSONThatWasCutOff(t *testing.T) {
	outcome := answered(200, strings.Repeat("x", 1<<20))
	outcome.HTTP.Cut = true
	got := expect.Judge(spec(t, `{httpGet: {port: 80}, expect: {json: [{path: .a}]}}`), plan.Answer{Outcome: outcome})
	if want := "the body is longer than 1024 KiB, so that its JSON was not read to the end"; got.Message != want {
		t.Errorf("%+v", got)
	}
}

// TestHostileAnswersCostLittle holds that no answer within its bounds takes long.
func TestHostileAnswersCostLittle(t *testing.T) {
	wide := `{"a":[` + strings.TrimSuffix(strings.Repeat("1,", 99_000), ",") + `]}`
	deep := strings.Repeat(`{"a":[`, 49) + strings.TrimSuffix(strings.Repeat("1,", 99_000), ",") + strings.Repeat("]}", 49)
	for name, tc := range map[string]struct{ expect, body string }{
		"everything in a wide body":        {`json: [{path: "..a"}]`, wide},
		"everything in a deep body":        {`json: [{path: "..*", matches: "^x$"}]`, deep},
		"a union in a wide body":           {`json: [{path: ".a[*,*,*]"}]`, wide},
		"unions in a deep body":            {`json: [{path: ".a[*,*]..[*,*]"}]`, deep},
		"a pattern that others never end":  {`matches: "^(a+)+$"`, strings.Repeat("a", 10<<10) + "b"},
		"the largest pattern that we take": {`matches: "(a?){900}b"`, strings.Repeat("a", 10<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now() //nolint:forbidigo // what is measured is the real time
			expect.Judge(spec(t, `{httpGet: {port: 80}, expect: {`+tc.expect+`}}`), plan.Answer{Outcome: answered(200, tc.body)})
			if took := time.Since(began); took > 5*time.Minute { //nolint:forbidigo // as above
				t.Errorf("it took %v", took)
			} else {
				t.Logf("%v", took)
			}
		})
	}
}
