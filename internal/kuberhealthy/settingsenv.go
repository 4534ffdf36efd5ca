package kuberhealthy

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// ignoredEnv are variables of Kuberhealthy that mean nothing here, with the values that need no words:
// its own defaults, which its charts write down. The name and namespace of its Lease are not among them: by
// these a Kuberhealthy that is alive is found.
var ignoredEnv = []struct{ name, standard, why string }{
	{"CHECK_REAPER_RUN_INTERVAL", "30s", "pods are deleted when they are due"},
	{"KH_MAX_JOB_AGE", "", "no HealthCheck is deleted"},
	{"KH_DEFAULT_RUN_INTERVAL", "10m", "Kuberhealthy does not heed it either: write spec.runInterval"},
	{"KH_DEFAULT_CHECK_TIMEOUT", "30s", "Kuberhealthy does not heed it either: write spec.timeout"},
	{"KH_DEFAULT_NAMESPACE", "", "Kuberhealthy does not heed it either"},
	{"KH_LEADER_ELECTION_ENABLED", "true", "replicas share the checks by Leases of their own"},
	{"KH_LEADER_ELECTION_LEASE_DURATION", "15s", "replicas share the checks by Leases of their own"},
	{"KH_LEADER_ELECTION_RENEW_DEADLINE", "10s", "replicas share the checks by Leases of their own"},
	{"KH_LEADER_ELECTION_RETRY_PERIOD", "2s", "replicas share the checks by Leases of their own"},
}

// environment reads the variables of both versions (master: cmd/kuberhealthy/main.go; main:
// cmd/kuberhealthy/config.go).
func (r *reader) environment(s *Settings) {
	get := func(name string) string { return strings.TrimSpace(r.getenv(name)) }
	r.urls(get, s)
	r.namespace(get, s)
	r.address("KH_LISTEN_ADDRESS", get("KH_LISTEN_ADDRESS"), &s.Listen)
	r.address("KH_LISTEN_ADDRESS_TLS", get("KH_LISTEN_ADDRESS_TLS"), &s.ListenTLS)
	s.TLSCertFile, s.TLSKeyFile = get("KH_TLS_CERT_FILE"), get("KH_TLS_KEY_FILE")
	if (s.TLSCertFile == "") != (s.TLSKeyFile == "") {
		r.warn("KH_TLS_CERT_FILE and KH_TLS_KEY_FILE belong together: without both, TLS is not served")
		s.TLSCertFile, s.TLSKeyFile = "", ""
	}
	r.level("KH_LOG_LEVEL", get("KH_LOG_LEVEL"), &s.LogLevel)
	r.duration("KH_TERMINATION_GRACE_PERIOD", get("KH_TERMINATION_GRACE_PERIOD"), time.Second, &s.Grace)

	r.duration("KH_MAX_CHECK_POD_AGE", get("KH_MAX_CHECK_POD_AGE"), 0, &s.RetentionV3.MaxAge)
	r.duration("KH_ERROR_POD_RETENTION_TIME", get("KH_ERROR_POD_RETENTION_TIME"), 0, &s.RetentionV3.MaxFailedAge)
	r.count("KH_MAX_COMPLETED_POD_COUNT", get("KH_MAX_COMPLETED_POD_COUNT"), &s.RetentionV3.MaxCompleted)
	r.count("KH_MAX_ERROR_POD_COUNT", get("KH_MAX_ERROR_POD_COUNT"), &s.RetentionV3.MaxFailed)

	r.truth("KH_PROM_SUPPRESS_ERROR_LABEL", get("KH_PROM_SUPPRESS_ERROR_LABEL"), &s.Labels.SuppressError)
	r.count("KH_PROM_ERROR_LABEL_MAX_LENGTH", get("KH_PROM_ERROR_LABEL_MAX_LENGTH"), &s.Labels.ErrorMaxLength)
	r.count("KH_PROM_LABEL_VALUE_MAX_LENGTH", get("KH_PROM_LABEL_VALUE_MAX_LENGTH"), &s.Labels.ValueMaxLength)
	if allow := get("KH_PROM_LABEL_ALLOWLIST"); allow != "" {
		s.Labels.Allow = list(allow)
	}
	if deny := get("KH_PROM_LABEL_DENYLIST"); deny != "" {
		s.Labels.Deny = list(deny)
	}
	for _, ignored := range ignoredEnv {
		if value := get(ignored.name); value != "" && value != ignored.standard {
			r.warn("%s is ignored: %s", ignored.name, ignored.why)
		}
	}
}

// urls are where checker pods report to: version 2 is told the whole, version 3 what goes before /check.
func (r *reader) urls(get func(string) string, s *Settings) {
	namespace := get("POD_NAMESPACE")
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		namespace = "kuberhealthy"
		if get("KH_EXTERNAL_REPORTING_URL") == "" || get("KH_CHECK_REPORT_URL") == "" {
			r.warn("POD_NAMESPACE is not set to a namespace: checker pods are told to report to the namespace %s", namespace)
		}
	}
	service := "http://kuberhealthy." + namespace + ".svc.cluster.local"
	s.Pods = PodSettings{ReportingURLV2: service + "/externalCheckStatus", ReportingURLV3: service + "/check"}
	r.location("KH_EXTERNAL_REPORTING_URL", get("KH_EXTERNAL_REPORTING_URL"), &s.Pods.ReportingURLV2)
	base := strings.TrimRight(get("KH_CHECK_REPORT_URL"), "/")
	if strings.HasSuffix(base, "/check") {
		r.warn("KH_CHECK_REPORT_URL ends in /check, which is added to it: it is not added again")
		base = strings.TrimRight(strings.TrimSuffix(base, "/check"), "/")
	}
	if base != "" {
		r.location("KH_CHECK_REPORT_URL", base+"/check", &s.Pods.ReportingURLV3)
	}
}

// namespace is one for both versions. That of version 3 is documented, though Kuberhealthy ignores it.
func (r *reader) namespace(get func(string) string, s *Settings) {
	v2, v3 := get("TARGET_NAMESPACE"), get("KH_TARGET_NAMESPACE")
	s.Namespace = v2
	switch {
	case v2 == "":
		s.Namespace = v3
	case v3 != "" && v3 != v2:
		r.warn("TARGET_NAMESPACE %s and KH_TARGET_NAMESPACE %s differ: the former stands for both", quote(v2), quote(v3))
	}
	// Nobody who limits Maek to a namespace wants it to run the checks of all.
	if s.Namespace != "" && len(validation.IsDNS1123Label(s.Namespace)) > 0 {
		r.warn("no namespace can be called %s: no check is run", quote(s.Namespace))
	}
}

// list splits at commas.
func list(written string) []string {
	var names []string
	for name := range strings.SplitSeq(written, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
