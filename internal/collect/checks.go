package collect

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// runLabels carry the run of a checker pod, in version 2 and in version 3 of Kuberhealthy.
var runLabels = []string{khv1.LabelRunID, khv2.LabelRunID}

// cleanRun takes the run out of a checker pod's labels: whoever knows it may report for the pod.
func cleanRun(labels map[string]string) {
	for _, key := range runLabels {
		if value, ok := labels[key]; ok {
			labels[key] = fingerprint(value)
		}
	}
}

// cleanCheck takes out of a check what may be a credential: the run that may report, and what probes send.
func cleanCheck(o snapshot.Object) {
	switch o := o.(type) {
	case *khv1.KuberhealthyState:
		o.Spec.CurrentUUID = fingerprint(o.Spec.CurrentUUID)
	case *khv2.HealthCheck:
		o.Status.CurrentUUID = fingerprint(o.Status.CurrentUUID)
	case *v1alpha1.Check:
		cleanAction(nil, o.Spec.HTTPGet)
	}
}

// cleanCheckMessages redacts what checkers say, which is what a program of anybody's wrote.
func cleanCheckMessages(o snapshot.Object) {
	switch o := o.(type) {
	case *khv1.KuberhealthyState:
		redactTexts(o.Spec.Errors)
	case *khv2.HealthCheck:
		redactTexts(o.Status.Errors)
	case *v1alpha1.Check:
		redactEach(o.Status.Conditions, func(c *metav1.Condition) *string { return &c.Message })
		for _, failures := range [][]v1alpha1.CheckFailure{o.Status.Failing, o.Status.RecentFailures} {
			cleanFailures(failures)
		}
		redactEach(o.Status.Consequences, func(c *v1alpha1.Consequence) *string { return &c.Message })
	case *v1alpha1.CheckRecord:
		if o.LastFailure != nil {
			redact(&o.LastFailure.Message)
			o.LastFailure.Target = secret.Redact(cleanQuery(o.LastFailure.Target))
			redact(&o.LastFailure.LogTail)
		}
	}
}

// cleanFailures redacts what targets said, and the targets themselves, which may be URLs.
func cleanFailures(failures []v1alpha1.CheckFailure) {
	redactEach(failures, func(f *v1alpha1.CheckFailure) *string { return &f.Message })
	for i := range failures {
		failures[i].Target = secret.Redact(cleanQuery(failures[i].Target))
	}
}

func redactTexts(texts []string) {
	for i, text := range texts {
		texts[i] = secret.Redact(text)
	}
}
