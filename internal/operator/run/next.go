package run

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

const (
	// reportGrace is for how long after a run's deadline, or after its pod has ended, a report that is on
	// its way may still come in (Kuberhealthy 3 gives as long: main, internal/kuberhealthy/kuberhealthy.go,
	// timeoutGracePeriod).
	reportGrace = 2 * time.Second
	// lateReport is the same after a pod has ended: it ends when its report has been answered, or has
	// never been sent, so that only a report that this replica has not heard of yet can come.
	lateReport = 5 * time.Second
	// patience is for how long a run is not failed after this replica could not see it: checkers whose
	// report was not answered try for 30 s (master: pkg/checks/external/checkclient/main.go).
	patience = 35 * time.Second
	// orphanAfter is at what age a pod of no known run is deleted that is newer than the record: until
	// then it may be the record that has not arrived.
	orphanAfter = 30 * time.Second
	// vanishGrace is for how long after its grace period a deleted pod keeps the next run waiting: the
	// kubelet of a node that is lost never lets it go.
	vanishGrace = 10 * time.Second
	// maxSpread bounds over what time overdue runs are spread.
	maxSpread = time.Minute
	// brandNew is up to what age a check that has never run starts at once, whoever else is due.
	brandNew = 10 * time.Second
	// maxRequestSkew is how far ahead of the clock a wish for a run may be: clocks of replicas differ.
	maxRequestSkew = time.Minute
)

// view is all that a check's next step follows from.
type view struct {
	now   time.Time
	check kuberhealthy.Check
	// phase of a job.
	phase khv1.JobPhase
	// finalizer tells that the object still bears Kuberhealthy 3's finalizer.
	finalizer bool
	// requested is when somebody wished for a run; zero where nobody did.
	requested time.Time
	// state as recorded of this very object; zero where the record is another's, or there is none.
	state kuberhealthy.State
	// taken tells that the record holds a run that goes on of the object of the same name.
	taken bool
	// yield tells that a job of the same name comes first.
	yield bool

	// pods of this very object, oldest first.
	pods []podView
	// gone is how the pod of the recorded run was last seen; nil where it was never seen to go.
	gone   *corev1.Pod
	goneAt time.Time
	// trouble with the pod of the recorded run that could not be made.
	trouble trouble
	// cause is what the pod of the recorded run showed last of why it does not start.
	cause checkerpod.Failure
	// sight of the node of a pod that nobody takes up.
	sight sight
	// resumed is since when this replica has looked after the check without a break.
	resumed time.Time
	// reporting tells that a report on the recorded run is being stored.
	reporting bool

	// expired are pods that retention no longer keeps, and expiry when it will let go of more; zero for
	// never.
	expired []podView
	expiry  time.Time
	// reapAt is when a job that is completed is deleted; zero for never.
	reapAt time.Time
}

// podView is a pod as the next step sees it.
type podView struct {
	*corev1.Pod

	// run that it belongs to.
	run string
	// leaving tells that it was deleted and has not gone yet, and until when that is waited for.
	leaving time.Time
}

// trouble is why a pod could not be made.
type trouble struct {
	// message of the API server; empty where there was no trouble.
	message string
	// refused tells that trying again is pointless, and foreign that there is a pod which another operator
	// made and this one does not see.
	refused, foreign bool
	// again is when to try again, and giveUp when to fail the run instead; zero for not before its
	// deadline.
	again, giveUp time.Time
}

// action is what is to be done for a check.
type action int

const (
	// wait does nothing until a time, or until something changes.
	wait action = iota
	// begin records a new run.
	begin
	// create makes the pod of the recorded run.
	create
	// look finds out whether the node of a pod that nobody takes up is lost.
	look
	// fail records that the run has failed.
	fail
	// remove deletes pods.
	remove
	// mark writes a job's phase.
	mark
	// release takes Kuberhealthy 3's finalizer off an object.
	release
	// reap deletes a job that was completed long ago.
	reap
)

// step is the next thing to do for a check.
type step struct {
	action action
	// until when to wait; zero is until something changes.
	until time.Time
	// pods to remove.
	pods []podView
	// phase to mark.
	phase khv1.JobPhase
	// failure of the run, and its pod if it had one.
	failure checkerpod.Failure
	pod     *corev1.Pod
}

// next returns the next step for a check. It has no memory: a replica that has just taken the check
// over comes to the same.
func next(v view) step {
	switch {
	case v.check.Deleting && v.finalizer:
		return step{action: release}
	case v.check.Deleting:
		// Its pods go with it, by their owner reference.
		return step{}
	case v.state.Running:
		return v.running()
	default:
		return v.idle()
	}
}

// running is the next step while the record tells of a run that goes on.
func (v view) running() step {
	orphans, wake := v.orphans()
	if len(orphans) > 0 {
		return step{action: remove, pods: orphans}
	}
	deadline := v.check.Deadline(v.state.Run)
	pod := v.recorded()
	if pod == nil {
		return v.podless(deadline)
	}
	if v.job() && v.phase != khv1.JobRunning {
		return step{action: mark, phase: khv1.JobRunning}
	}
	claimed, decided, again := v.claim(pod)
	if decided {
		return claimed
	}
	wake = soonest(wake, again)
	f := checkerpod.Diagnose(pod, v.now).With(v.cause)
	at := deadline.Add(reportGrace)
	switch {
	case !f.Over.IsZero():
		at = earlier(at, f.Over.Add(lateReport))
	case f.Hopeless && v.check.API == kuberhealthy.V2, f.Hopeless && f.Reason != checkerpod.ImagePullFailed:
		at = earlier(at, v.now)
	case f.Reason == checkerpod.ImagePullFailed && v.check.API == kuberhealthy.V2 && pod.Status.StartTime != nil:
		wake = soonest(wake, pod.Status.StartTime.Add(checkerpod.PullTries))
	}
	at = later(at, v.patience())
	switch {
	case v.reporting:
		return step{}
	case !v.now.Before(at):
		return step{action: fail, failure: f, pod: pod}
	}
	return step{until: soonest(wake, at)}
}

// podless is the next step for a run that goes on without a pod: it has not been made yet, could not be
// made, or has gone.
func (v view) podless(deadline time.Time) step {
	switch {
	case v.reporting:
		return step{}
	case v.gone != nil:
		at := later(v.goneAt.Add(reportGrace), v.patience())
		if v.now.Before(at) {
			return step{until: at}
		}
		return step{action: fail, failure: checkerpod.Deleted(v.gone, v.goneAt).With(v.cause), pod: v.gone}
	case v.trouble.foreign:
		if v.now.Before(v.trouble.again) {
			return step{until: v.trouble.again}
		}
		return step{action: fail, failure: checkerpod.Failure{Reason: checkerpod.Deadline, Message: v.trouble.message}}
	case v.trouble.refused:
		return step{action: fail, failure: checkerpod.Failure{Reason: checkerpod.PodRefused, Message: v.trouble.message, Over: v.now}}
	case !v.trouble.giveUp.IsZero() && !v.now.Before(v.trouble.giveUp):
		return step{action: fail, failure: checkerpod.Failure{Reason: checkerpod.PodRefused, Message: v.trouble.message, Over: v.now}}
	case v.now.Before(deadline):
		if v.now.Before(v.trouble.again) {
			return step{until: soonest(earlier(v.trouble.again, deadline), v.trouble.giveUp)}
		}
		return step{action: create}
	case v.trouble.message != "":
		return step{action: fail, failure: checkerpod.Failure{Reason: checkerpod.PodRefused, Message: v.trouble.message}}
	case v.check.Once:
		// It may have run, and have been deleted while no operator looked: what runs once is not run again.
		return step{action: fail, failure: checkerpod.Failure{
			Reason:  checkerpod.PodDeleted,
			Message: "no pod of the run was seen before its deadline: no operator was there to make it, or somebody deleted it",
		}}
	default:
		// It was recorded and never made, as no operator was there: nothing is known of what it checks, and
		// that is no failure.
		return step{action: begin}
	}
}

// idle is the next step while no run goes on.
func (v view) idle() step {
	if v.job() && v.phase != khv1.JobCompleted {
		switch {
		case v.state.Ended:
			return step{action: mark, phase: khv1.JobCompleted}
		case v.phase == khv1.JobRunning:
			return v.foreign()
		}
	}
	leftovers, wake := v.leftovers()
	if len(leftovers)+len(v.expired) > 0 {
		return step{action: remove, pods: slices.Concat(leftovers, v.expired)}
	}
	wake = soonest(wake, v.expiry)
	if !v.reapAt.IsZero() && v.phase == khv1.JobCompleted {
		if !v.now.Before(v.reapAt) {
			return step{action: reap}
		}
		wake = soonest(wake, v.reapAt)
	}
	due, again := v.due()
	if !again || v.taken || v.yield {
		return step{until: wake}
	}
	if v.now.Before(due) {
		return step{until: soonest(wake, due)}
	}
	if at, busy := v.busy(); busy {
		return step{until: soonest(wake, at)}
	}
	return step{action: begin}
}

// foreign is the next step for a job that runs by its phase and of which nothing is recorded: another
// operator began it, or somebody deleted its state. It is not run again, and taken for completed when
// its time is up.
func (v view) foreign() step {
	at := v.check.CreatedAt.Add(v.check.Timeout)
	if v.now.Before(at) {
		return step{until: at}
	}
	return step{action: mark, phase: khv1.JobCompleted}
}

// patience is until when the run is not failed, as a report on it may be on its way that could not be
// taken in before.
func (v view) patience() time.Time {
	if v.state.Run.Started.Before(v.resumed) {
		return v.resumed.Add(patience)
	}
	return time.Time{}
}

func (v view) job() bool { return v.check.Kind == kuberhealthy.KindJob }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// soonest is earlier, where zero stands for never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
