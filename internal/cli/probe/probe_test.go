package probe

import (
	"strings"
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/probe"
)

func TestWrongUsageIsOneSentence(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*options)
		args   []string
		want   string
	}{
		"no name":                 {want: "whose probes?"},
		"too many names":          {args: []string{"a", "b", "c"}, want: "are too many names"},
		"an unknown output":       {args: []string{"a"}, change: func(o *options) { o.output = "xml" }, want: `-o "xml" is no output`},
		"patches without audit":   {args: []string{"a"}, change: func(o *options) { o.output = asPatch }, want: "-o patch is for --audit"},
		"an audit that watches":   {change: func(o *options) { o.audit, o.watch = true, true }, want: "--audit judges once"},
		"an unknown way":          {args: []string{"a"}, change: func(o *options) { o.from = "here" }, want: `--ask "here" is no way`},
		"to ask and not to":       {args: []string{"a"}, change: func(o *options) { o.from, o.noAsk = "exec", true }, want: "exclude each other"},
		"no time":                 {args: []string{"a"}, change: func(o *options) { o.timeout = 0 }, want: "leaves no time"},
		"a name is all it takes":  {args: []string{"a"}},
		"an audit takes no name":  {change: func(o *options) { o.audit = true }},
		"kind and name, two ways": {args: []string{"deploy", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options{output: terminal, timeout: time.Minute}
			if tc.change != nil {
				tc.change(&o)
			}
			err := o.validate(tc.args)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || exit.CodeOf(err) != exit.Usage {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestParseTarget(t *testing.T) {
	for args, want := range map[string]string{
		"web": "Pod shop/web", "pod/web": "Pod shop/web", "deploy/web": "Deployment shop/web", "deployments.apps web": "Deployment shop/web",
		"svc/web": "Service shop/web", "STS/db": "StatefulSet shop/db", "rc web": "ReplicationController shop/web",
		"job/copy": "Job shop/copy", "cj/nightly": "CronJob shop/nightly",
		"node/w1": "", "deploy/": "", "a/b/c": "", "deploy/a/b": "",
	} {
		got, err := parseTarget("shop", strings.Fields(args))
		if (err != nil) != (want == "") || (want != "" && got.String() != want) {
			t.Errorf("%q is %v, %v; want %q", args, got, err, want)
		}
	}
}

func TestFetched(t *testing.T) {
	for name, tc := range map[string]struct {
		output string
		code   int
		want   probe.Result
		says   string
	}{
		"well":            {"200", 0, probe.Success, ""},
		"elsewhere":       {"302", 0, probe.Warning, "status 302"},
		"ill":             {"503", 0, probe.Failure, "HTTP probe failed with statuscode: 503"},
		"nobody listens":  {"000curl: (7) Failed to connect", 7, probe.Failure, "exit code 7: curl: (7) Failed to connect"},
		"nothing is said": {"", 0, probe.Failure, "exit code 0"},
	} {
		t.Run(name, func(t *testing.T) {
			got := fetched(tc.output, tc.code, time.Millisecond).Kubelet
			if got.Result != tc.want || !strings.Contains(got.Message, tc.says) {
				t.Errorf("%+v", got)
			}
		})
	}
}
