package kuberhealthy_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// chart is what version 2's chart writes (master: deploy/kuberhealthy.yaml).
const chart = `
listenAddress: ":8080" # The port
enableForceMaster: false
logLevel: error
influxUsername: ""
influxPassword: ""
influxURL: ""
influxDB: "http://localhost:8086"
enableInflux: false
maxKHJobAge: 15m
maxCheckPodAge: 72h
maxCompletedPodCount: 4
maxErrorPodCount: 4
stateMetadata:
`

func defaults() kuberhealthy.Settings {
	return kuberhealthy.Settings{
		Listen:    ":8080",
		ListenTLS: ":443",
		Pods: kuberhealthy.PodSettings{
			ReportingURLV2: "http://kuberhealthy.maek-system.svc.cluster.local/externalCheckStatus",
			ReportingURLV3: "http://kuberhealthy.maek-system.svc.cluster.local/check",
		},
		RetentionV2: kuberhealthy.DefaultRetentionV2(),
		RetentionV3: kuberhealthy.DefaultRetentionV3(),
		Labels:      kuberhealthy.DefaultMetricLabels(),
		Grace:       5 * time.Minute,
	}
}

func TestSettings(t *testing.T) {
	tests := map[string]struct {
		file         string
		env          map[string]string
		change       func(*kuberhealthy.Settings)
		wantWarnings []string
	}{
		"nothing is configured": {},
		"version 2's chart":     {file: chart, change: func(s *kuberhealthy.Settings) { s.LogLevel = slog.LevelError }},
		"version 3's chart writes its defaults": {env: map[string]string{
			"KH_LISTEN_ADDRESS": ":8080", "KH_LOG_LEVEL": "info", "KH_MAX_COMPLETED_POD_COUNT": "1", "KH_MAX_ERROR_POD_COUNT": "2",
			"KH_ERROR_POD_RETENTION_TIME": "36h", "KH_DEFAULT_RUN_INTERVAL": "10m", "KH_DEFAULT_CHECK_TIMEOUT": "30s",
			"KH_TERMINATION_GRACE_PERIOD": "5m", "KH_LEADER_ELECTION_ENABLED": "true", "KH_PROM_LABEL_ALLOWLIST": "severity,category",
		}},
		"all of the file": {file: `
listenAddress: "127.0.0.1:9000"
logLevel: WARNING
maxKHJobAge: 1h
maxCheckPodAge: 1h30m
maxCompletedPodCount: 0
maxErrorPodCount: 100
stateMetadata: {cluster: a, number: 7, truth: true, nothing: null}
promMetricsConfig: {suppressErrorLabel: true, errorLabelMaxLength: 50}
`, change: func(s *kuberhealthy.Settings) {
			s.Listen, s.LogLevel = "127.0.0.1:9000", slog.LevelWarn
			s.RetentionV2.MaxJobAge, s.RetentionV2.MaxAge = time.Hour, 90*time.Minute
			s.RetentionV2.MaxCompleted, s.RetentionV2.MaxFailed = 0, 100
			s.Metadata = map[string]string{"cluster": "a", "number": "7", "truth": "true", "nothing": ""}
			s.Labels.SuppressError, s.Labels.ErrorMaxLength = true, 50
		}},
		"the environment goes before the file": {
			file:   "listenAddress: ':1'\nlogLevel: error\npromMetricsConfig: {suppressErrorLabel: true}\n",
			env:    map[string]string{"KH_LISTEN_ADDRESS": ":2", "KH_LOG_LEVEL": "debug", "KH_PROM_SUPPRESS_ERROR_LABEL": "false"},
			change: func(s *kuberhealthy.Settings) { s.Listen, s.LogLevel = ":2", slog.LevelDebug },
		},
		"all of the environment": {env: map[string]string{
			"KH_EXTERNAL_REPORTING_URL": "https://kh.example.com/externalCheckStatus", "KH_CHECK_REPORT_URL": " https://kh.example.com/ ",
			"TARGET_NAMESPACE": "shop", "KH_LISTEN_ADDRESS_TLS": ":8443", "KH_TLS_CERT_FILE": "c", "KH_TLS_KEY_FILE": "k",
			"KH_MAX_CHECK_POD_AGE": "1h", "KH_ERROR_POD_RETENTION_TIME": "0", "KH_MAX_COMPLETED_POD_COUNT": "0", "KH_MAX_ERROR_POD_COUNT": "9",
			"KH_PROM_ERROR_LABEL_MAX_LENGTH": "10", "KH_PROM_LABEL_ALLOWLIST": "severity, run_uuid,,severity", "KH_PROM_LABEL_DENYLIST": "category",
			"KH_PROM_LABEL_VALUE_MAX_LENGTH": "5", "KH_TERMINATION_GRACE_PERIOD": "0s",
		}, change: func(s *kuberhealthy.Settings) {
			s.Pods = kuberhealthy.PodSettings{ReportingURLV2: "https://kh.example.com/externalCheckStatus", ReportingURLV3: "https://kh.example.com/check"}
			s.Namespace, s.ListenTLS, s.TLSCertFile, s.TLSKeyFile = "shop", ":8443", "c", "k"
			s.RetentionV3 = kuberhealthy.Retention{MaxAge: time.Hour, MaxFailed: 9}
			s.Labels = kuberhealthy.MetricLabels{ErrorMaxLength: 10, Allow: []string{"severity", "run_uuid"}, Deny: []string{"category"}, ValueMaxLength: 5}
			s.Grace = time.Second
		}},
		"pods reach their least age": {file: "maxKHJobAge: 1s\nmaxCheckPodAge: 0s\n", change: func(s *kuberhealthy.Settings) {
			s.RetentionV2.MaxJobAge, s.RetentionV2.MaxAge = 5*time.Minute, 30*time.Second
		}},
		"values that cannot be used": {file: `
listenAddress: somewhere
logLevel: loud
maxKHJobAge: 900
maxCheckPodAge: -1h
maxCompletedPodCount: 1.5
maxErrorPodCount: [4]
stateMetadata: text
promMetricsConfig: {suppressErrorLabel: perhaps, errorLabelMaxLength: -1, other: 1}
`, wantWarnings: []string{
			`listenAddress "somewhere" is no address such as :8080: :8080 stands for it`,
			`logLevel "loud" is no level such as info or debug: INFO stands for it`,
			`maxCheckPodAge "-1h" is not between 0 and 175200h: 72h stands for it`,
			`maxCompletedPodCount "1.5" is no whole number from 0 to 2147483647: 4 stands for it`,
			`maxErrorPodCount "[4]" is no whole number from 0 to 2147483647: 4 stands for it`,
			`maxKHJobAge "900" is no duration such as 15m or 72h: 15m stands for it`,
			`promMetricsConfig.errorLabelMaxLength "-1" is no whole number from 0 to 2147483647: 0 stands for it`,
			`configuration key "promMetricsConfig.other" is not known and is ignored`,
			`promMetricsConfig.suppressErrorLabel "perhaps" is neither true nor false: false stands for it`,
			`stateMetadata is no map of texts and is ignored`,
		}},
		"keys that mean nothing": {file: `
enableForceMaster: true
enableInflux: true
influxPassword: secret
externalCheckReportingURL: http://x
kubeConfigFile: /root/.kube/config
namespace: shop
listenAdress: ":80"
promMetricsConfig: 5
`, wantWarnings: []string{
			"configuration key enableForceMaster is ignored: replicas share the checks, and none needs to be forced",
			"configuration key externalCheckReportingURL is ignored: set the environment variable KH_EXTERNAL_REPORTING_URL",
			"configuration key kubeConfigFile is ignored: the operator uses its ServiceAccount",
			`configuration key "listenAdress" is not known and is ignored`,
			"configuration key namespace is ignored: set the environment variable TARGET_NAMESPACE",
			"promMetricsConfig is no map and is ignored",
			"enableInflux is ignored: results are not pushed to InfluxDB, scrape /metrics instead",
		}},
		"variables that cannot be used, or mean nothing": {env: map[string]string{
			"POD_NAMESPACE": "-", "KH_EXTERNAL_REPORTING_URL": "kuberhealthy/externalCheckStatus", "KH_CHECK_REPORT_URL": "ftp://kh",
			"KH_TARGET_NAMESPACE": "shop", "TARGET_NAMESPACE": "cart", "KH_TLS_CERT_FILE": "c", "CHECK_REAPER_RUN_INTERVAL": "5s",
			"KH_DEFAULT_CHECK_TIMEOUT": "1m", "KH_LEADER_ELECTION_ENABLED": "false", "KH_MAX_ERROR_POD_COUNT": "many",
			"KH_PROM_SUPPRESS_ERROR_LABEL": "x", "KH_LISTEN_ADDRESS": ":0", "KH_TERMINATION_GRACE_PERIOD": "long",
		}, change: func(s *kuberhealthy.Settings) {
			s.Namespace = "cart"
			s.Pods = kuberhealthy.PodSettings{
				ReportingURLV2: "http://kuberhealthy.kuberhealthy.svc.cluster.local/externalCheckStatus",
				ReportingURLV3: "http://kuberhealthy.kuberhealthy.svc.cluster.local/check",
			}
		}, wantWarnings: []string{
			`KH_EXTERNAL_REPORTING_URL "kuberhealthy/externalCheckStatus" is no URL such as http://kuberhealthy.example.com: http://kuberhealthy.kuberhealthy.svc.cluster.local/externalCheckStatus stands for it`,
			`KH_CHECK_REPORT_URL "ftp://kh/check" is no URL such as http://kuberhealthy.example.com: http://kuberhealthy.kuberhealthy.svc.cluster.local/check stands for it`,
			`TARGET_NAMESPACE "cart" and KH_TARGET_NAMESPACE "shop" differ: the former stands for both`,
			`KH_LISTEN_ADDRESS ":0" is no address such as :8080: :8080 stands for it`,
			"KH_TLS_CERT_FILE and KH_TLS_KEY_FILE belong together: without both, TLS is not served",
			`KH_TERMINATION_GRACE_PERIOD "long" is no duration such as 15m or 72h: 5m stands for it`,
			`KH_MAX_ERROR_POD_COUNT "many" is no whole number from 0 to 2147483647: 2 stands for it`,
			`KH_PROM_SUPPRESS_ERROR_LABEL "x" is neither true nor false: false stands for it`,
			"CHECK_REAPER_RUN_INTERVAL is ignored: pods are deleted when they are due",
			"KH_DEFAULT_CHECK_TIMEOUT is ignored: Kuberhealthy does not heed it either: write spec.timeout",
			"KH_LEADER_ELECTION_ENABLED is ignored: replicas share the checks by Leases of their own",
		}},
		"version 3's namespace alone": {
			env:    map[string]string{"KH_TARGET_NAMESPACE": "shop"},
			change: func(s *kuberhealthy.Settings) { s.Namespace = "shop" },
		},
		"a namespace that cannot be": {
			env:          map[string]string{"TARGET_NAMESPACE": "Shop"},
			change:       func(s *kuberhealthy.Settings) { s.Namespace = "Shop" },
			wantWarnings: []string{`no namespace can be called "Shop": no check is run`},
		},
		"a base that is the whole": {
			env:          map[string]string{"KH_CHECK_REPORT_URL": "http://kh.example.com/check/"},
			change:       func(s *kuberhealthy.Settings) { s.Pods.ReportingURLV3 = "http://kh.example.com/check" },
			wantWarnings: []string{"KH_CHECK_REPORT_URL ends in /check, which is added to it: it is not added again"},
		},
		"a file that is no YAML": {file: "listenAddress: [", wantWarnings: []string{"the configuration file is not YAML of keys and values: defaults stand for all of it"}},
		"a file that is a list":  {file: "- a\n", wantWarnings: []string{"the configuration file is not YAML of keys and values: defaults stand for all of it"}},
		"a file with NUL bytes":  {file: "a: \x00\n", wantWarnings: []string{"the configuration file is not YAML of keys and values: defaults stand for all of it"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			want := defaults()
			if tc.change != nil {
				tc.change(&want)
			}
			got, warnings := kuberhealthy.ReadSettings([]byte(tc.file), environ(tc.env))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantWarnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// environ is an environment, in the namespace maek-system unless it says another; "-" is none.
func environ(env map[string]string) func(string) string {
	return func(name string) string {
		value, set := env[name]
		switch {
		case name == "POD_NAMESPACE" && !set:
			return "maek-system"
		case value == "-":
			return ""
		}
		return value
	}
}

func TestReportingAddressWithoutNamespace(t *testing.T) {
	_, warnings := kuberhealthy.ReadSettings(nil, func(string) string { return "" })
	want := []string{"POD_NAMESPACE is not set to a namespace: checker pods are told to report to the namespace kuberhealthy"}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestWarningsHaveAnEnd(t *testing.T) {
	_, warnings := kuberhealthy.ReadSettings([]byte(strings.Repeat("x", 5)+": 1\n"+manyKeys(1000)), environ(nil))
	if len(warnings) != 51 || warnings[50] != "and 951 more settings that cannot be used" {
		t.Errorf("%d warnings, the last: %s", len(warnings), warnings[len(warnings)-1])
	}
}

func manyKeys(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString("key" + strings.Repeat("a", i) + ": 1\n")
	}
	return text.String()
}

// FuzzReadSettings holds that no file and no variable can do worse than be warned of.
func FuzzReadSettings(f *testing.F) {
	f.Add([]byte(chart), "5m")
	f.Add([]byte("a: &a [*a]"), ":1")
	f.Add([]byte("a: &a {b: 1}\nstateMetadata: {<<: *a}\nmaxErrorPodCount: 1e400\nmaxKHJobAge: !!binary x"), "http://x")
	f.Add([]byte("promMetricsConfig: {1: 2}\n? [a]\n: b"), "\xff")
	f.Fuzz(func(t *testing.T, file []byte, value string) {
		s, warnings := kuberhealthy.ReadSettings(file, func(string) string { return value })
		for _, retention := range []kuberhealthy.Retention{s.RetentionV2, s.RetentionV3} {
			if retention.MaxCompleted < 0 || retention.MaxFailed < 0 || retention.MaxAge < 0 || retention.MaxFailedAge < 0 {
				t.Fatalf("%+v", retention)
			}
		}
		if s.Listen == "" || s.Pods.ReportingURLV2 == "" || !strings.HasSuffix(s.Pods.ReportingURLV3, "/check") || s.Grace < time.Second {
			t.Fatalf("%+v", s)
		}
		for _, warning := range warnings {
			if len(warning) > 2000 || strings.ContainsAny(warning, "\r\n") {
				t.Fatalf("warning %q", warning)
			}
		}
	})
}
