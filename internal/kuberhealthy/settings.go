package kuberhealthy

import (
	"log/slog"
	"time"
)

// Settings are what Kuberhealthy's configuration says that means something to Maek.
type Settings struct {
	// Listen is the address of the status page, host:port.
	Listen string
	// ListenTLS is its address with TLS; it is served only where both files are named.
	ListenTLS, TLSCertFile, TLSKeyFile string
	LogLevel                           slog.Level
	// Namespace whose checks are run; empty for all.
	Namespace string
	// Pods are told this.
	Pods PodSettings
	// RetentionV2 and RetentionV3 are for pods of each version.
	RetentionV2, RetentionV3 Retention
	// Metadata is shown in version 2's status document.
	Metadata map[string]string
	// Labels of metrics.
	Labels MetricLabels
	// Grace is how long the operator may take to stop.
	Grace time.Duration
}

// Retention of an API's pods.
func (s Settings) Retention(api API) Retention {
	if api == V3 {
		return s.RetentionV3
	}
	return s.RetentionV2
}

// ReadSettings reads version 2's configuration file, which may be empty, and the environment variables of
// both versions, which go before it. What cannot be used is told in a sentence, and so is what means
// nothing here; the default stands for it.
func ReadSettings(file []byte, getenv func(string) string) (Settings, []string) {
	r := reader{getenv: getenv}
	s := Settings{
		Listen:      ":8080",
		ListenTLS:   ":443",
		RetentionV2: DefaultRetentionV2(),
		RetentionV3: DefaultRetentionV3(),
		Labels:      DefaultMetricLabels(),
		Grace:       5 * time.Minute,
	}
	r.file(file, &s)
	r.environment(&s)
	return s, r.told()
}
