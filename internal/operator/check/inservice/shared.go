package inservice

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// together is how many pods of a check that begin to fail within one window are likely to share a cause,
// whatever part of it they are.
const together = 3

// sharedCause says why a pod's fault is not likely to be its own: the checks of the cluster, the check's pods or
// those of its workload fail together, or did so a short time ago. It is empty where nothing tells of it.
func sharedCause(s *state, r *record, uid types.UID, workload string) string {
	wait := max(stormLasts, r.window())
	switch {
	case s.storm != "":
		return s.storm
	case s.calm != never && s.calm < wait:
		return fmt.Sprintf("checks of the cluster failed together %s ago; it is waited for %s", s.calm.Round(time.Second), wait)
	}
	percent := s.bounds[r.check.Namespace].maxFailingPercent
	reds := r.reds()
	if most := mayFail(len(r.pods), percent); reds > most {
		return tooMany(reds, len(r.pods), most, percent)
	}
	if since, ok := s.crowds[r.check.UID]; ok && since < wait {
		return fmt.Sprintf("more of the check's pods than may failed together %s ago; it is waited for %s", since.Round(time.Second), wait)
	}
	pods, failing := 0, 0
	for _, other := range s.workloads[workload] {
		if s.siblings[other].terminating {
			continue
		}
		pods++
		if r.pods[other].color == red {
			failing++
		}
	}
	// One of a workload always may.
	if most := max(1, mayFail(pods, percent)); failing > most {
		return fmt.Sprintf("%d of the %d pods of its workload fail at the same time, and the policy takes pods out while at most %d do: they are likely to share a cause", failing, pods, most)
	}
	if n := r.began(uid); n >= together {
		return fmt.Sprintf("%d pods of the check began to fail within %s: they are likely to share a cause", n, r.window())
	}
	return ""
}

// began counts the pods that began to fail less than one window before or after a pod, and that pod.
func (r *record) began(uid types.UID) int {
	n := 0
	for _, v := range r.pods {
		runs := v.failures - r.pods[uid].failures
		if v.color == red && (time.Duration(runs)*r.period()).Abs() < r.window() {
			n++
		}
	}
	return n
}

// tooMany says that more pods of a check fail than may.
func tooMany(reds, pods, most, percent int) string {
	if most == 0 {
		return fmt.Sprintf("the check has too few pods (%d) to tell a broken pod from a shared cause: the policy's maxFailingPercent is %d", pods, percent)
	}
	return fmt.Sprintf("%d of the check's %d pods fail at the same time, and the policy takes pods out while at most %d do: they are likely to share a cause", reds, pods, most)
}

// mayFail is how many of a check's pods may fail at a time for one to be taken out: so many percent, rounded
// down, but one of three or more in any case.
func mayFail(pods, percent int) int {
	most := pods * percent / 100
	if pods >= 3 {
		most = max(most, 1)
	}
	return most
}

// storm says that the checks of the cluster have a cause in common: three of them or more, and more than 30
// percent, are red at a time. It is empty where they are not.
func storm(checks []v1alpha1.Check, records map[types.UID]*record) string {
	total, reds := 0, 0
	for i := range checks {
		c := &checks[i]
		var red, known bool
		for _, condition := range c.Status.Conditions {
			if condition.Type == v1alpha1.CheckHealthy {
				known = condition.Status != "Unknown"
				red = condition.Status == "False"
			}
		}
		// A status is written a little later than a result is known.
		if r := records[c.UID]; r != nil {
			known = true
			red = red || len(r.failing()) > 0
		}
		if c.Spec.Suspend || !known {
			continue
		}
		total++
		if red {
			reds++
		}
	}
	if reds >= 3 && reds*100 > 30*total {
		return fmt.Sprintf("%d of the cluster's %d checks fail at the same time, so they are likely to share a cause", reds, total)
	}
	return ""
}
