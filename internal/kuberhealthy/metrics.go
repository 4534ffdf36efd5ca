package kuberhealthy

// MetricLabels says what of a check becomes labels of its metrics. The zero value is what Kuberhealthy
// 2 does where nothing is configured; DefaultMetricLabels is version 3's default too.
type MetricLabels struct {
	// SuppressError leaves the label error out.
	SuppressError bool
	// ErrorMaxLength is how many bytes of an error are kept, cut between characters; zero is no limit of
	// the user's. There is always one: see maxErrorLabel.
	ErrorMaxLength int
	// Allow names the further labels that a HealthCheck's metrics may have, of severity, category and
	// run_uuid. Empty allows all of them.
	Allow []string
	// Deny names those that they may not have.
	Deny []string
	// ValueMaxLength is how many bytes of a further label's value are kept; zero is no limit.
	ValueMaxLength int
}

// DefaultMetricLabels are what Kuberhealthy's versions do by themselves (main: cmd/kuberhealthy/config.go).
func DefaultMetricLabels() MetricLabels {
	return MetricLabels{Allow: []string{"severity", "category"}, ValueMaxLength: 256}
}
