package collect

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/snapshot"
)

func TestAnswersAreCleanedByTheirKind(t *testing.T) {
	long := strings.Repeat("x", AnswerBytes)
	tests := map[string]struct {
		kind snapshot.QuestionKind
		text string
		want snapshot.Answer
	}{
		"a path to a key is none":      {snapshot.KubeletConfig, `{"tlsPrivateKeyFile":"/etc/k.key"}`, snapshot.Answer{Outcome: snapshot.Answered, Text: `{"tlsPrivateKeyFile":"/etc/k.key"}`}},
		"headers may hold credentials": {snapshot.KubeletConfig, `{"staticPodURLHeader":{"A":["b"]}}`, snapshot.Answer{Outcome: snapshot.Answered, Text: `{}`}},
		"numbers stay as they are":     {snapshot.KubeletStats, `{"n":18446744073709551615}`, snapshot.Answer{Outcome: snapshot.Answered, Text: `{"n":18446744073709551615}`}},
		"JSON that is none":            {snapshot.KubeletStats, `[`, snapshot.Answer{Outcome: snapshot.Errored, Error: "reading the answer as JSON: unexpected EOF"}},
		"JSON that is too long":        {snapshot.KubeletStats, `{"a":"` + long + `"}`, snapshot.Answer{Outcome: snapshot.Errored, Error: "the answer is longer than 64 KiB"}},
		"a key among certificates":     {snapshot.CertificateOf, "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n", snapshot.Answer{Outcome: snapshot.Errored, Error: "it holds no certificate"}},
		"a value with a password":      {snapshot.ConfigMapValue, "db password: hunter2", snapshot.Answer{Outcome: snapshot.Answered, Text: "db password: [redacted]"}},
		"a value that is too long":     {snapshot.ConfigMapValue, long + "y", snapshot.Answer{Outcome: snapshot.Answered, Text: long}},
		"a value of many lines":        {snapshot.ConfigMapValue, strings.Repeat("a\n", 100), snapshot.Answer{Outcome: snapshot.Answered, Text: strings.Repeat("a\n", 100)}},
		"a log of many lines":          {snapshot.ContainerLog, strings.Repeat("a\n", 100), snapshot.Answer{Outcome: snapshot.Answered, Text: strings.TrimSuffix(strings.Repeat("a\n", LogLines), "\n")}},
		"metrics that no rule reads":   {snapshot.APIServerMetrics, "secret_metric 1\n", snapshot.Answer{Outcome: snapshot.Answered}},
		"a text that is not UTF-8":     {snapshot.AccessReview, "allowed\xff", snapshot.Answer{Outcome: snapshot.Answered, Text: "allowed\uFFFD"}},
		"an answer that says nothing":  {snapshot.DryRunCreate, "", snapshot.Answer{Outcome: snapshot.Answered}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			q := snapshot.Question{Kind: tc.kind}
			got := CleanAnswer(q, snapshot.Answer{Outcome: snapshot.Answered, Text: tc.text})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, CleanAnswer(q, got)); diff != "" {
				t.Errorf("cleaning it again changes it (-once +twice):\n%s", diff)
			}
		})
	}
}

func TestMetricsThatDoNotFitLoseWhatIsZeroFirst(t *testing.T) {
	var page strings.Builder
	page.WriteString("# TYPE apiserver_resource_objects gauge\n")
	for i := range 1000 {
		fmt.Fprintf(&page, "apiserver_resource_objects{group=\"example.com\",resource=\"things-%04d\"} 0\n", i)
		fmt.Fprintf(&page, "unread{x=\"%s\"} 1\n", strings.Repeat("y", 200))
	}
	page.WriteString("apiserver_resource_objects{group=\"\",resource=\"pods\"} 70000\n")
	got, err := Metrics(strings.NewReader(page.String()))
	if want := "# TYPE apiserver_resource_objects gauge\napiserver_resource_objects{group=\"\",resource=\"pods\"} 70000\n"; err != nil || got != want {
		t.Errorf("%d bytes, error %v:\n%.300s", len(got), err, got)
	}
}

func TestEndlessLinesAmongMetricsAreSkipped(t *testing.T) {
	page := "etcd_requests_total{x=\"" + strings.Repeat("z", 300<<10) + "\"} 1\nprocess_start_time_seconds 7\n"
	got, err := Metrics(strings.NewReader(page))
	if err != nil || got != "process_start_time_seconds 7\n" {
		t.Errorf("error %v, %.200q", err, got)
	}
}

func TestMetricsOfAContainerAreItsOwn(t *testing.T) {
	const own = `prober_probe_total{container="app",namespace="shop",pod="api-0",pod_uid="u",probe_type="Liveness",result="failed"} 7
prober_probe_duration_seconds_bucket{container="app",namespace="shop",pod="api-0",probe_type="Liveness",le="0.5"} 900
container_cpu_cfs_throttled_periods_total{container="app",id="/kubepods/pod1",image="shop/api",name="x",namespace="shop",pod="api-0"} 41 1700000000000
`
	const others = `# TYPE prober_probe_total counter
prober_probe_total{container="app",namespace="shop",pod="api-1",pod_uid="v",probe_type="Liveness",result="failed"} 9
prober_probe_total{container="proxy",namespace="shop",pod="api-0",pod_uid="u",probe_type="Liveness",result="failed"} 9
container_cpu_cfs_periods_total{container="",id="/kubepods/pod1",image="",name="",namespace="shop",pod="api-0"} 99 1700000000000
container_memory_usage_bytes{container="app",namespace="shop",pod="api-0"} 5
process_cpu_seconds_total 3
`
	q := snapshot.Question{Kind: snapshot.ContainerMetrics, Namespace: "shop", Name: "api-0", Container: "app"}
	for _, page := range []string{own + others, others + own, own} {
		got := CleanAnswer(q, snapshot.Answer{Outcome: snapshot.Answered, Text: page})
		if diff := cmp.Diff(snapshot.Answer{Outcome: snapshot.Answered, Text: own}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func FuzzCleanAnswer(f *testing.F) {
	kinds := []snapshot.QuestionKind{
		snapshot.ContainerLog, snapshot.KubeletConfig, snapshot.KubeletStats, snapshot.CertificateOf,
		snapshot.APIServerMetrics, snapshot.ConfigMapValue, snapshot.ContainerMetrics,
	}
	for i, seed := range []string{
		"password=a b\nAuthorization: Basic dXNlcg==", `{"a":[{"token":"x=password=y"}]}`, `{"n":1e999}`,
		"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "# HELP etcd_requests_total \xff\netcd_requests_total{a=\"token=x\"} 0", "\xff\xfe eyJhbGciOiJ.x.",
	} {
		f.Add(i, seed)
	}
	f.Fuzz(func(t *testing.T, i int, text string) {
		q := snapshot.Question{Kind: kinds[(i%len(kinds)+len(kinds))%len(kinds)]}
		once := CleanAnswer(q, snapshot.Answer{Outcome: snapshot.Answered, Text: text})
		if len(once.Text) > AnswerBytes || !utf8.ValidString(once.Text) || !utf8.ValidString(once.Error) {
			t.Errorf("%s: %q", q.Kind, once)
		}
		if twice := CleanAnswer(q, once); q.Kind != snapshot.ContainerLog && twice != once {
			t.Errorf("%s: %q became %q", q.Kind, once, twice)
		}
	})
}

func FuzzMetrics(f *testing.F) {
	f.Add("# HELP etcd_requests_total x\n# TYPE etcd_requests_total counter\netcd_requests_total{a=\"b\"} 1\r\n")
	f.Add("#\n# HELP\netcd_requests_total\netcd_requests_total{\n{}\n")
	f.Fuzz(func(t *testing.T, page string) {
		got, err := Metrics(strings.NewReader(page))
		if err != nil || len(got) > AnswerBytes || !utf8.ValidString(got) {
			t.Fatalf("error %v, %q", err, got)
		}
		for line := range strings.Lines(got) {
			if !keptMetric(strings.TrimSuffix(line, "\n")) {
				t.Errorf("kept %q", line)
			}
		}
	})
}
