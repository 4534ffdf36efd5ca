package probes

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// countsAsked bounds of how many containers a rule asks what the kubelet counted: each takes two requests.
	countsAsked = 6
	// rare is the share of answers that may be slow without being a habit.
	rare = 0.01
	// enoughAnswers is how many answers make a share of them worth saying.
	enoughAnswers = 100
	// heldBack is the share of its periods in which a limit of CPU makes a container slow
	// (https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#how-pods-with-resource-limits-are-run).
	heldBack = 0.25
	// seldomHeldBack is a share of its periods that is too small to be the cause. What lies between the two proves
	// nothing: it is counted since the container's start, and answers are late in the hours in which most of it falls.
	seldomHeldBack = 0.001
)

// counted is what the kubelet of a pod's node has counted of a probe, and of the CPU of its container.
type counted struct {
	snapshot.ProbeCounts

	node string
	at   time.Time
	// throttled is the share of its periods in which its limit of CPU held the container back; limited tells
	// that it is known.
	throttled float64
	limited   bool
}

// countedOf asks what a kubelet has counted; false where that is not known yet, or may not be asked.
func countedOf(p *rule.Pass, one probe, pod *corev1.Pod) (counted, bool) {
	answer, ok := p.Ask(snapshot.Question{Kind: snapshot.ContainerMetrics, Namespace: pod.Namespace, Name: pod.Name, Container: one.container.Name})
	if !ok || answer.Outcome != snapshot.Answered {
		return counted{}, false
	}
	// What stands before a line that cannot be read is good.
	metrics, _ := snapshot.ParseMetrics(answer.Text)
	c := counted{node: pod.Spec.NodeName, at: answer.At}
	c.throttled, c.limited = metrics.Throttled()
	counts, ok := metrics.ProbeCounts(one.said())
	c.ProbeCounts = counts
	return c, ok
}

// often tells whether more answers than a few took at least half of what the probe gives them.
func (c counted) often(one probe) bool {
	return c.Succeeded >= enoughAnswers && c.Slower(rare) >= one.timing().Timeout/2
}

// starved tells whether the container is slow for its limit of CPU.
func (c counted) starved() bool { return c.limited && c.throttled >= heldBack }

// says is what was counted, in words.
func (c counted) says() finding.Text {
	return finding.Join("; ", finding.Textf("the kubelet has counted %d attempts that succeeded and %d that failed", "kubelet 집계: 성공 %d번, 실패 %d번", c.Succeeded, c.Failed), c.saysSlow())
}

func (c counted) saysSlow() finding.Text {
	longest := c.Slower(rare)
	if c.Succeeded < enoughAnswers || longest == 0 {
		return finding.Text{}
	}
	return finding.Textf("more than 1 in 100 of those that succeeded took longer than %s", "성공한 것 가운데 1%%가 넘게 %s보다 오래 걸렸습니다", span(longest))
}

// saysStarved is what the limit of CPU did.
func (c counted) saysStarved(limit *resource.Quantity) finding.Text {
	return finding.Format("its limit of %s CPU held the container back in %s of the periods in which it was to run: it is slow for want of CPU",
		"CPU limit %s 때문에 실행해야 할 주기의 %s에서 컨테이너가 멈춰 있었습니다(throttling). CPU가 부족해서 느린 것입니다",
		finding.Verbatim(limit.String()), finding.Verbatim(percent(c.throttled)))
}

// evidence of what was counted.
func (c counted) evidence(one probe) []finding.Evidence {
	source := "kubelet of Node " + c.node
	out := []finding.Evidence{{
		Source: source, Path: `prober_probe_total{probe_type="` + one.said() + `",container="` + one.container.Name + `"}`,
		Value: fmt.Sprintf("successful %d, failed %d", c.Succeeded, c.Failed), At: finding.Timestamp(c.at),
	}}
	if longest := c.Slower(rare); longest > 0 && c.Succeeded >= enoughAnswers {
		out = append(out, finding.Evidence{
			Source: source, Path: "prober_probe_duration_seconds", Value: "p99 > " + span(longest), At: finding.Timestamp(c.at),
		})
	}
	if c.limited {
		out = append(out, finding.Evidence{
			Source: source, Path: "container_cpu_cfs_throttled_periods_total / container_cpu_cfs_periods_total", Value: percent(c.throttled), At: finding.Timestamp(c.at),
		})
	}
	return out
}

// percent writes a share.
func percent(share float64) string { return strconv.Itoa(int(share*100+0.5)) + " %" }

// span writes the upper end of one of the steps by which kubelets count durations.
func span(d time.Duration) string {
	if d < time.Second {
		return strconv.Itoa(int(d/time.Millisecond)) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
}

// moreCPU doubles the limit of CPU of a container that it holds back. The request is written down as it is: where it is
// left out it is the limit's value (SetDefaults_Pod of k8s.io/kubernetes/pkg/apis/core/v1/defaults.go), and would grow
// with it until no node has room.
func (at place) moreCPU(s *snapshot.Snapshot) finding.Remedy {
	more := at.container.Resources.Limits.Cpu().DeepCopy()
	more.Add(more)
	resources := fields{"limits": fields{"cpu": more.String()}}
	if request := at.container.Resources.Requests.Cpu(); !request.IsZero() {
		resources["requests"] = fields{"cpu": request.String()}
	}
	return at.mend(s, fields{"resources": resources},
		finding.Textf("give it CPU: a limit of %s in place of %s, or none", "CPU limit을 %[2]s에서 %[1]s로 올리거나 없앱니다", more.String(), at.container.Resources.Limits.Cpu().String()))
}
