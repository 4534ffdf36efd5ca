package run

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// result is what a test wants of a step.
type result struct {
	Action action
	// Until is told from when the recorded run began; zero for never.
	Until  time.Duration
	Pods   []string
	Phase  khv1.JobPhase
	Reason checkerpod.Reason
}

func resultOf(s step) result {
	r := result{Action: s.action, Phase: s.phase, Reason: s.failure.Reason}
	if !s.until.IsZero() {
		r.Until = s.until.Sub(began)
	}
	for _, p := range s.pods {
		r.Pods = append(r.Pods, p.run)
	}
	return r
}

func TestNext(t *testing.T) {
	t.Parallel()
	v2, v3, job := testCheck(kuberhealthy.KindCheck), testCheck(kuberhealthy.KindHealthCheck), testCheck(kuberhealthy.KindJob)
	young := func(c kuberhealthy.Check) kuberhealthy.Check { c.CreatedAt = at(-time.Second); return c }
	long := v2
	long.Timeout = time.Hour
	once := v3
	once.Once, once.Interval = true, 0
	dying := func(c kuberhealthy.Check) kuberhealthy.Check { c.Deleting = true; return c }
	early := at(-time.Hour)
	gone := testPod("run", 1*time.Second, nil).Pod

	cases := map[string]struct {
		view view
		now  time.Duration
		want result
	}{
		"a check that is new begins at once": {
			view{check: young(v2), resumed: at(0)}, 0, result{Action: begin},
		},
		"a check that never ran and is old begins when its lot says, after a restart": {
			view{check: v2, resumed: at(0)}, 0, result{Until: time.Duration(float64(time.Minute) * lot("check"))},
		},
		"killed before the run was recorded: it is begun": {
			view{check: young(v3), resumed: at(0)}, 0, result{Action: begin},
		},
		"killed after the record, before the pod: the pod is made": {
			view{check: v2, state: started(), resumed: at(16 * time.Second)}, 16 * time.Second, result{Action: create},
		},
		"killed after the record, and back after its deadline: a new run, and no failure": {
			view{check: v2, state: started(), resumed: at(5 * time.Minute)}, 5 * time.Minute, result{Action: begin},
		},
		"what runs once is not run again when its pod was not seen in time": {
			view{check: job, state: started(), phase: khv1.JobRunning, resumed: at(5 * time.Minute)},
			5 * time.Minute,
			result{Action: fail, Reason: checkerpod.PodDeleted},
		},
		"killed after the pod: the run goes on to its deadline": {
			view{check: v2, state: started(), pods: []podView{testPod("run", time.Second, nil)}, resumed: early},
			10 * time.Second,
			result{Until: 22 * time.Second},
		},
		"killed after the pod, and back late: a report may be on its way": {
			view{check: v2, state: started(), pods: []podView{testPod("run", time.Second, nil)}, resumed: at(time.Minute)},
			time.Minute,
			result{Until: 95 * time.Second},
		},
		"a run that does not report fails at its deadline": {
			view{check: v2, state: started(), pods: []podView{testPod("run", time.Second, nil)}, resumed: early},
			22 * time.Second,
			result{Action: fail, Reason: checkerpod.Deadline},
		},
		"version 3 counts in whole seconds": {
			view{check: v3, state: started(), pods: []podView{testPod("run", time.Second, nil)}, resumed: early},
			22 * time.Second,
			result{Until: 23 * time.Second},
		},
		"a report that is being stored is waited for": {
			view{check: v2, state: started(), pods: []podView{testPod("run", time.Second, nil)}, resumed: early, reporting: true},
			22 * time.Second,
			result{},
		},
		"a report that is being stored is waited for after the pod is gone": {
			view{check: v2, state: started(), gone: gone, goneAt: at(5 * time.Second), resumed: early, reporting: true},
			22 * time.Second,
			result{},
		},
		"killed after the report: the next run is due an interval after the start": {
			view{check: v2, state: finished(3 * time.Second), pods: []podView{testPod("run", time.Second, exits(0, "Completed", 4*time.Second))}, resumed: early},
			5 * time.Second,
			result{Until: time.Minute},
		},
		"the next run begins an interval after the start": {
			view{check: v2, state: finished(3 * time.Second), resumed: early}, time.Minute, result{Action: begin},
		},
		"a run that was overdue for a moment when its owner changed begins at once": {
			view{check: v2, state: finished(3 * time.Second), resumed: at(time.Minute + shortBreak)},
			time.Minute + shortBreak,
			result{Action: begin},
		},
		"a run that was overdue for long when its owner came back is spread": {
			view{check: v2, state: finished(3 * time.Second), resumed: at(90 * time.Second)},
			90 * time.Second,
			result{Until: 90*time.Second + time.Duration(float64(30*time.Second)*lot("check"))},
		},
		"a start in a future that no clock shows does not stop a check for good": {
			view{
				check: v2, resumed: early,
				state: credible(kuberhealthy.State{Run: kuberhealthy.Run{Started: at(1000 * time.Hour)}, Ended: true}, early, at(0)),
			},
			0,
			result{Action: begin},
		},
		"nor does it fail a run that goes on before that had its time": {
			view{
				check: v2, resumed: at(0), pods: []podView{testPod("run", time.Second, nil)},
				state: credible(kuberhealthy.State{Run: kuberhealthy.Run{ID: "run", Started: at(1000 * time.Hour)}, Running: true}, at(0), at(0)),
			},
			5 * time.Second,
			result{Until: 22 * time.Second},
		},
		"killed before the old pods were deleted: they are deleted": {
			view{check: v2, state: finished(3 * time.Second), expired: []podView{testPod("old", -time.Hour, exits(0, "", -time.Hour))}, resumed: early},
			5 * time.Second,
			result{Action: remove, Pods: []string{"old"}},
		},
		"the pod of a run that timed out is deleted": {
			view{check: v2, state: finished(22 * time.Second), pods: []podView{testPod("run", time.Second, nil)}, resumed: early},
			23 * time.Second,
			result{Action: remove, Pods: []string{"run"}},
		},
		"the pod of a run that failed before it started is deleted": {
			view{check: v2, state: finished(10 * time.Second), pods: []podView{testPod("run", time.Second, waits(checkerpod.WaitErrImagePull))}, resumed: early},
			10 * time.Second,
			result{Action: remove, Pods: []string{"run"}},
		},
		"a checker that has reported may clear up until its deadline": {
			view{check: v2, state: finished(5 * time.Second), pods: []podView{testPod("run", time.Second, nil)}, resumed: early},
			6 * time.Second,
			result{Until: 22 * time.Second},
		},
		"a pod that was deleted already is not deleted again": {
			view{check: v2, state: finished(22 * time.Second), pods: []podView{leaving(testPod("run", time.Second, nil), time.Minute)}, resumed: early},
			23 * time.Second,
			result{Until: time.Minute},
		},
		"a pod that is still there keeps the next run waiting": {
			view{check: v2, state: finished(22 * time.Second), pods: []podView{leaving(testPod("run", time.Second, nil), 70*time.Second)}, resumed: early},
			time.Minute,
			result{Until: 70 * time.Second},
		},
		"a pod that never goes, on a node that is lost, keeps nothing waiting for good": {
			view{check: v2, state: finished(22 * time.Second), pods: []podView{leaving(testPod("run", time.Second, nil), 70*time.Second)}, resumed: early},
			71 * time.Second,
			result{Action: begin},
		},
		"a pod of an earlier run that is at work is an orphan": {
			view{check: v2, state: started(), pods: []podView{testPod("old", -time.Minute, nil), testPod("run", time.Second, nil)}, resumed: early},
			2 * time.Second,
			result{Action: remove, Pods: []string{"old"}},
		},
		"a pod that is newer than the record may be the next run's, whose record is late": {
			view{check: v2, state: finished(3 * time.Second), pods: []podView{testPod("next", 10*time.Second, nil)}, resumed: early},
			11 * time.Second,
			result{Until: 40 * time.Second},
		},
		"and is an orphan when no record comes": {
			view{check: v2, state: finished(3 * time.Second), pods: []podView{testPod("next", 10*time.Second, nil)}, resumed: early},
			41 * time.Second,
			result{Action: remove, Pods: []string{"next"}},
		},
		"a pod that somebody deletes is a failure": {
			view{check: v2, state: started(), gone: gone, goneAt: at(5 * time.Second), resumed: early},
			7 * time.Second,
			result{Action: fail, Reason: checkerpod.PodDeleted},
		},
		"but its report may be on its way": {
			view{check: v2, state: started(), gone: gone, goneAt: at(5 * time.Second), resumed: early},
			6 * time.Second,
			result{Until: 7 * time.Second},
		},
		"a pod that is on its way out is waited for": {
			view{check: v2, state: started(), pods: []podView{leaving(testPod("run", time.Second, nil), time.Minute)}, resumed: early},
			6 * time.Second,
			result{Until: 22 * time.Second},
		},
		"a pod that the API server refuses fails the run at once": {
			view{check: v2, state: started(), trouble: trouble{message: "no", refused: true}, resumed: early},
			time.Second,
			result{Action: fail, Reason: checkerpod.PodRefused},
		},
		"a pod that could not be made is tried again after a while": {
			view{check: v2, state: started(), trouble: trouble{message: "no", again: at(4 * time.Second)}, resumed: early},
			2 * time.Second,
			result{Until: 4 * time.Second},
		},
		"and the run fails when time is up": {
			view{check: v2, state: started(), trouble: trouble{message: "no", again: at(30 * time.Second)}, resumed: early},
			20 * time.Second,
			result{Action: fail, Reason: checkerpod.PodRefused},
		},
		"a refusal that may pass is given up when that has taken too long": {
			view{check: v2, state: started(), trouble: trouble{message: "no", again: at(9 * time.Second), giveUp: at(8 * time.Second)}, resumed: early},
			7 * time.Second,
			result{Until: 8 * time.Second},
		},
		"and the run fails then": {
			view{check: v2, state: started(), trouble: trouble{message: "no", again: at(9 * time.Second), giveUp: at(8 * time.Second)}, resumed: early},
			8 * time.Second,
			result{Action: fail, Reason: checkerpod.PodRefused},
		},
		"a pod that no kubelet takes up has its node looked at": {
			view{check: long, state: started(), pods: []podView{testPod("run", time.Second, bound)}, resumed: early},
			61 * time.Second,
			result{Action: look},
		},
		"but not at once": {
			view{check: long, state: started(), pods: []podView{testPod("run", time.Second, bound)}, resumed: early},
			10 * time.Second,
			result{Until: 61 * time.Second},
		},
		"if the node is ready it is waited for": {
			view{check: long, state: started(), pods: []podView{testPod("run", time.Second, bound)}, sight: sight{pod: "run", at: at(61 * time.Second)}, resumed: early},
			62 * time.Second,
			result{Until: 91 * time.Second},
		},
		"if the node is lost the run fails": {
			view{check: long, state: started(), pods: []podView{testPod("run", time.Second, bound)}, sight: sight{pod: "run", at: at(61 * time.Second), lost: "gone"}, resumed: early},
			62 * time.Second,
			result{Action: fail, Reason: checkerpod.NodeLost},
		},
		"what was seen of another pod's node is no matter": {
			view{check: long, state: started(), pods: []podView{testPod("run", time.Second, bound)}, sight: sight{pod: "other", at: at(0), lost: "gone"}, resumed: early},
			10 * time.Second,
			result{Until: 61 * time.Second},
		},
		"a pod of another operator is left to its deadline": {
			view{check: v3, state: started(), trouble: trouble{message: "no", foreign: true, again: at(23 * time.Second)}, resumed: early},
			20 * time.Second,
			result{Until: 23 * time.Second},
		},
		"a pod that ended is given a moment": {
			view{check: v3, state: started(), pods: []podView{testPod("run", time.Second, exits(0, "Completed", 4*time.Second))}, resumed: early},
			5 * time.Second,
			result{Until: 9 * time.Second},
		},
		"an exit without a report fails the run soon": {
			view{check: v3, state: started(), pods: []podView{testPod("run", time.Second, exits(0, "Completed", 4*time.Second))}, resumed: early},
			9 * time.Second,
			result{Action: fail, Reason: checkerpod.NoReport},
		},
		"version 2 gives an image up early": {
			view{
				check: long, state: started(),
				pods: []podView{testPod("run", 0, waits("ImagePullBackOff"))}, resumed: early,
			},
			checkerpod.PullTries,
			result{Action: fail, Reason: checkerpod.ImagePullFailed},
		},
		"but not after the first try": {
			view{
				check: long, state: started(),
				pods: []podView{testPod("run", 0, waits(checkerpod.WaitErrImagePull))}, resumed: early,
			},
			5 * time.Second,
			result{Until: checkerpod.PullTries},
		},
		"version 3 waits for an image to its deadline": {
			view{
				check: func() kuberhealthy.Check { c := v3; c.Timeout = time.Hour; return c }(), state: started(),
				pods: []podView{testPod("run", 0, waits("ImagePullBackOff"))}, resumed: early,
			},
			checkerpod.PullTries,
			result{Until: time.Hour + 3*time.Second},
		},
		"a job that is new begins": {
			view{check: young(job), resumed: at(0)}, 0, result{Action: begin},
		},
		"killed after a job's pod, before its phase: the phase is written": {
			view{check: job, state: started(), pods: []podView{testPod("run", time.Second, nil)}, resumed: early},
			2 * time.Second,
			result{Action: mark, Phase: khv1.JobRunning},
		},
		"killed after a job's report: it is completed": {
			view{check: job, phase: khv1.JobRunning, state: finished(3 * time.Second), resumed: early},
			4 * time.Second,
			result{Action: mark, Phase: khv1.JobCompleted},
		},
		"a job whose phase nobody wrote is completed all the same, and not run again": {
			view{check: job, state: finished(3 * time.Second), resumed: early},
			4 * time.Second,
			result{Action: mark, Phase: khv1.JobCompleted},
		},
		"a job that is completed waits to be reaped": {
			view{check: job, phase: khv1.JobCompleted, state: finished(3 * time.Second), reapAt: at(time.Hour), resumed: early},
			time.Minute,
			result{Until: time.Hour},
		},
		"and is reaped": {
			view{check: job, phase: khv1.JobCompleted, state: finished(3 * time.Second), reapAt: at(time.Hour), resumed: early},
			time.Hour,
			result{Action: reap},
		},
		"a job that another operator began is left until its time is up": {
			view{check: young(job), phase: khv1.JobRunning, resumed: early}, 2 * time.Second, result{Until: 19 * time.Second},
		},
		"and is taken for completed": {
			view{check: young(job), phase: khv1.JobRunning, resumed: early}, 20 * time.Second, result{Action: mark, Phase: khv1.JobCompleted},
		},
		"a check waits while the job of its name runs": {
			view{check: v2, taken: true, resumed: early}, time.Hour, result{},
		},
		"a check lets a job of its name go first": {
			view{check: v2, state: finished(3 * time.Second), yield: true, resumed: early}, time.Hour, result{},
		},
		"a check that runs once and has is left alone": {
			view{check: once, state: finished(3 * time.Second), resumed: early}, time.Hour, result{},
		},
		"a wish is granted": {
			view{check: v2, state: finished(3 * time.Second), requested: at(10 * time.Second), resumed: early}, 10 * time.Second, result{Action: begin},
		},
		"and not again": {
			view{check: v2, state: finished(3 * time.Second), requested: at(0), resumed: early}, 10 * time.Second, result{Until: time.Minute},
		},
		"a wish for a time that is far away is none": {
			view{check: v2, state: finished(3 * time.Second), requested: at(48 * time.Hour), resumed: early}, 10 * time.Second, result{Until: time.Minute},
		},
		"what runs once is not run again by a wish": {
			view{check: once, state: finished(3 * time.Second), requested: at(10 * time.Second), resumed: early}, 10 * time.Second, result{},
		},
		"nothing is begun for a check that is being deleted": {
			view{check: dying(v3), resumed: early}, time.Hour, result{},
		},
		"nor failed": {
			view{check: dying(v3), state: started(), resumed: early}, time.Hour, result{},
		},
		"Kuberhealthy's finalizer holds nobody back": {
			view{check: dying(v3), finalizer: true, resumed: early}, time.Hour, result{Action: release},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.view.now = at(tc.now)
			if diff := cmp.Diff(tc.want, resultOf(next(tc.view))); diff != "" {
				t.Errorf("next (-want +got):\n%s", diff)
			}
		})
	}
}
