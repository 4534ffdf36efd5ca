package checks

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// What stands where a check says nothing, or nothing that can be read. Both versions of Kuberhealthy run
// every 10 minutes then (master: pkg/checks/external/main.go; main: internal/kuberhealthy/kuberhealthy.go).
const (
	defaultInterval  = 10 * time.Minute
	defaultTimeoutV2 = 5 * time.Minute
	defaultTimeoutV3 = 30 * time.Second
)

// problem is a part of a check that cannot be used as it is written.
type problem struct {
	// field and value that are wrong.
	field, value string
	text         finding.Text
	// idle tells that the check cannot run at all because of it.
	idle bool
	// stalled is the condition in which whoever runs the check says so; nil where the spec shows it.
	stalled *metav1.Condition
}

func ofKuberhealthyCheck(o *khv1.KuberhealthyCheck, state *khv1.KuberhealthyState) *check {
	c := newCheck(o, "khcheck")
	c.interval = c.duration(".spec.runInterval", o.Spec.RunInterval, defaultInterval)
	c.timeout = c.duration(".spec.timeout", o.Spec.Timeout, defaultTimeoutV2)
	c.images = snapshot.CheckerImages(o.Spec.PodSpec)
	c.judgeTemplate(".spec.podSpec")
	c.takeState(state)
	return c
}

func ofKuberhealthyJob(o *khv1.KuberhealthyJob, state *khv1.KuberhealthyState) *check {
	c := newCheck(o, "khjob")
	c.once, c.done = true, o.Spec.Phase == khv1.JobCompleted
	c.timeout = c.duration(".spec.timeout", o.Spec.Timeout, defaultTimeoutV2)
	c.images = snapshot.CheckerImages(o.Spec.PodSpec)
	c.judgeTemplate(".spec.podSpec")
	c.takeState(state)
	c.ended = c.ended && c.done
	return c
}

func ofHealthCheck(o *khv2.HealthCheck) *check {
	c := newCheck(o, "healthcheck")
	c.once = o.Spec.SingleRunOnly
	if !c.once {
		c.interval = c.duration(".spec.runInterval", o.Spec.RunInterval, defaultInterval)
	}
	c.timeout = c.duration(".spec.timeout", o.Spec.Timeout, defaultTimeoutV3)
	c.images = snapshot.CheckerImages(o.Spec.PodSpec.Spec)
	c.judgeTemplate(".spec.podSpec.spec")
	c.source, c.path = finding.Named(c.subject), ".status"
	st := o.Status
	c.ok, c.errors, c.runs = st.OK, st.Errors, st.ConsecutiveFailures
	c.lastOK = unix(st.LastOKUnix)
	c.endedAt = finding.Later(c.lastOK, unix(st.LastFailureUnix))
	if c.endedAt.IsZero() && st.CurrentUUID == "" {
		c.endedAt = unix(st.LastRunUnix)
	}
	c.ended = !c.endedAt.IsZero()
	return c
}

func newCheck(o snapshot.Object, resource string) *check {
	kind, _ := snapshot.KindOfObject(o)
	return &check{
		subject: snapshot.SubjectOf(o), kind: kind, resource: resource, uid: o.GetUID(), created: o.GetCreationTimestamp().Time,
		labels: o.GetLabels(), paused: o.GetDeletionTimestamp() != nil,
	}
}

// takeState takes in what a KuberhealthyState tells of a check's runs.
func (c *check) takeState(state *khv1.KuberhealthyState) {
	c.source, c.path = "KuberhealthyState "+finding.Qualified(c.subject), ".spec"
	if state == nil || state.Spec.AuthoritativePod == "" || state.Spec.LastRun == nil || state.Spec.LastRun.IsZero() {
		// It is made before the first run ends; only then does it get a writer.
		return
	}
	if of := state.Annotations[v1alpha1.AnnotationRunOf]; of != "" && c.uid != "" && of != string(c.uid) {
		return
	}
	c.ended, c.endedAt = true, state.Spec.LastRun.Time
	c.errors, c.node = state.Spec.Errors, state.Spec.Node
	// Kuberhealthy 2 takes a report that says both: its errors count.
	c.ok = state.Spec.OK && firstSaid(c.errors) == ""
}

// duration reads one as Kuberhealthy does; what cannot be read is a problem, and the default stands for it.
func (c *check) duration(field, text string, otherwise time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	switch {
	case text == "":
		return otherwise
	case err != nil || d <= 0:
		c.problems = append(c.problems, problem{field: field, value: text, text: finding.Textf(
			"%s %q is no duration such as 5m or 1h30m, and %s stands for it", "%s 값 %q는 5m, 1h30m 같은 기간 형식이 아니므로 기본값 %s이 대신 쓰입니다", field, finding.Quote(text), finding.Duration(otherwise))})
		return otherwise
	default:
		return d
	}
}

func (c *check) judgeTemplate(field string) {
	if len(c.images) > 0 {
		return
	}
	c.problems = append(c.problems, problem{field: field, idle: true, text: finding.Textf(
		"%s is no pod's: there is no container in it that can be read", "%s에 읽을 수 있는 컨테이너가 없어 Pod를 만들 수 없습니다", field)})
}

// lastSecond is the end of the year 9999, beyond which no time can be written.
const lastSecond = 253402300799

func unix(seconds int64) time.Time {
	if seconds <= 0 || seconds > lastSecond {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

func boolean(v bool) string {
	if v {
		return "true"
	}
	return "false"
}

// okField is where an object of a kind says how a check stands.
func okField(k snapshot.Kind) string {
	switch k.Group {
	case khv1.GroupVersion.Group:
		return ".OK"
	case khv2.GroupVersion.Group:
		return ".ok"
	default:
		return ".conditions[Healthy].status"
	}
}

// errorField is where an object of a kind says what is wrong.
func errorField(k snapshot.Kind, i int) string {
	switch k.Group {
	case khv1.GroupVersion.Group:
		return fmt.Sprintf(".Errors[%d]", i)
	case khv2.GroupVersion.Group:
		return fmt.Sprintf(".errors[%d]", i)
	default:
		if i == 0 {
			return ".conditions[Healthy].message"
		}
		return fmt.Sprintf(".failing[%d].message", i-1)
	}
}
