package snapshot

// MetricFamilies are the API server's metrics that rules read
// (https://kubernetes.io/docs/reference/instrumentation/metrics/), sorted. All others are dropped
// where they are read: the whole page is megabytes on a large cluster.
var MetricFamilies = []string{
	"apiserver_admission_webhook_fail_open_count",
	"apiserver_admission_webhook_rejection_count",
	"apiserver_flowcontrol_current_executing_seats",
	"apiserver_flowcontrol_current_inqueue_requests",
	"apiserver_flowcontrol_nominal_limit_seats",
	"apiserver_flowcontrol_rejected_requests_total",
	"apiserver_resource_objects",
	"apiserver_storage_objects",
	"apiserver_storage_size_bytes",
	"etcd_requests_total",
	"etcd_request_errors_total",
	"process_start_time_seconds",
}
