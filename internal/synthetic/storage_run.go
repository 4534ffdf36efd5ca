package synthetic

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/snapshot"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// volumeRun is one run of the storage scenario.
type volumeRun struct {
	env     Environment
	options storageOptions
	stage   *stage.Stage
	views   *stage.Views
	claims  *stage.View[*corev1.PersistentVolumeClaim]
	jobs    *stage.View[*batchv1.Job]
	pods    *stage.View[*corev1.Pod]
	nodes   *stage.View[*corev1.Node]
	// patience with pods whose kubelets do not take them up.
	patience *patience
	claim    *corev1.PersistentVolumeClaim
	// volume that the claim was bound to, and writer the node that wrote.
	volume, writer string
	took           steps
	// made are the Jobs: the view of them may be behind.
	made []*batchv1.Job
}

func runStorage(ctx context.Context, env Environment) (Result, error) {
	told := env.read(storageTable)
	o := told.storage(env)
	env.Grace = told.grace(env, time.Second)
	if err := told.err(); err != nil {
		return Result{}, err
	}
	return act(ctx, env, storageScenario, func(ctx context.Context, s *stage.Stage, r *Result) {
		sweep(ctx, s, r, o.namespace, &batchv1.JobList{}, &corev1.PersistentVolumeClaimList{})
		watching, stop := context.WithCancel(ctx)
		views := stage.NewViews(env.Client, env.Clock)
		defer views.Wait()
		defer stop()
		here := client.InNamespace(o.namespace)
		play := &volumeRun{env: env, options: o, stage: s, views: views, claim: o.claimFor(s)}
		if err := s.Make(ctx, play.claim); err != nil {
			r.Errors = append(r.Errors, err.Error())
			return
		}
		play.claims = stage.Observe[*corev1.PersistentVolumeClaim](watching, views, &corev1.PersistentVolumeClaimList{}, here, s.Selector())
		play.jobs = stage.Observe[*batchv1.Job](watching, views, &batchv1.JobList{}, here, s.Selector())
		play.pods = stage.Observe[*corev1.Pod](watching, views, &corev1.PodList{}, here, s.Selector())
		play.nodes = stage.ObserveIfAllowed[*corev1.Node](watching, views, &corev1.NodeList{})
		play.patience = newPatience(watching, env, views)
		for _, step := range []func(context.Context, *Result) bool{play.write, play.read, play.remove} {
			if !step(ctx, r) {
				break
			}
		}
		if len(play.took) > 0 {
			r.Notes = append(r.Notes, "took: "+strings.Join(play.took, ", "))
		}
	}), nil
}

// write has a Job write to the volume. The claim is waited for together with the Job: where the
// StorageClass says WaitForFirstConsumer, it is bound for the pod only.
func (v *volumeRun) write(ctx context.Context, r *Result) bool {
	began := v.env.Clock.Now()
	var affinity *corev1.Affinity
	if len(v.options.ignored) > 0 {
		affinity = awayFrom(v.options.ignored)
	}
	job := v.options.job(ctx, v.env, v.stage, v.options.writeJob, []string{"write", VolumeFile, VolumeText}, v.options.write, affinity, v.claim.Name)
	if !v.make(ctx, r, job) {
		return false
	}
	bound := false
	err := v.views.Until(ctx, 0, func() (bool, error) {
		if c := v.claimNow(); c != nil && c.Status.Phase == corev1.ClaimBound && !bound {
			bound, v.volume = true, c.Spec.VolumeName
			v.took.add("binding", v.env.Clock.Since(began))
		}
		return v.ended(ctx, job), nil
	})
	pod := v.podOf(job)
	if err != nil || !v.succeeded(job) {
		r.Errors = append(r.Errors, v.why(ctx, "writing to the volume", job, err, bound))
		return false
	}
	v.took.add("writing", v.env.Clock.Since(began))
	if pod != nil {
		v.writer = pod.Spec.NodeName
	}
	return true
}

func (v *volumeRun) make(ctx context.Context, r *Result, job *batchv1.Job) bool {
	v.made = append(v.made, job)
	err := v.stage.Make(ctx, job)
	if err != nil {
		r.Errors = append(r.Errors, err.Error())
	}
	return err == nil
}

// read has Jobs read what was written, each on a node, one after the other: a volume that is
// ReadWriteOnce is on one node at a time.
func (v *volumeRun) read(ctx context.Context, r *Result) bool {
	if len(v.options.allowed) == 0 {
		return v.readElsewhere(ctx, r)
	}
	well := true
	for i, node := range v.options.allowed {
		if slices.Contains(v.options.ignored, node) {
			continue
		}
		job := v.readJob(ctx, i, onNode(corev1.NodeSelectorOpIn, node))
		bound, ok := v.readBy(ctx, r, job, node)
		if bound {
			r.Notes = append(r.Notes, fmt.Sprintf("node %s: the volume cannot be used there, where it was not written: its StorageClass binds volumes to nodes or zones", node))
		}
		well = well && (ok || bound)
	}
	return well
}

// readElsewhere reads on a node other than the writer, or says why on the same.
func (v *volumeRun) readElsewhere(ctx context.Context, r *Result) bool {
	if v.otherNode() {
		bound, ok := v.readBy(ctx, r, v.readJob(ctx, 0, awayFrom(append([]string{v.writer}, v.options.ignored...))), "")
		if !bound {
			return ok
		}
		r.Notes = append(r.Notes, fmt.Sprintf("the volume is bound to node %s or its zone: it was read on the node that wrote it", v.writer))
	} else {
		r.Notes = append(r.Notes, fmt.Sprintf("there is no node but %s for the pods: the volume was read on the node that wrote it", v.writer))
	}
	_, ok := v.readBy(ctx, r, v.readJob(ctx, 1, onNode(corev1.NodeSelectorOpIn, v.writer)), v.writer)
	return ok
}

func (v *volumeRun) readJob(ctx context.Context, i int, affinity *corev1.Affinity) *batchv1.Job {
	return v.options.job(ctx, v.env, v.stage, v.options.readJob+"-"+strconv.Itoa(i), []string{"read", VolumeFile, VolumeText}, v.options.read, affinity, v.claim.Name)
}

// readBy runs one Job that reads. It tells that the volume is bound to where it was written.
func (v *volumeRun) readBy(ctx context.Context, r *Result, job *batchv1.Job, node string) (bound, ok bool) {
	began := v.env.Clock.Now()
	if !v.make(ctx, r, job) {
		return false, false
	}
	err := v.views.Until(ctx, 0, func() (bool, error) {
		bound = v.boundElsewhere(v.podOf(job))
		return bound || v.ended(ctx, job), nil
	})
	pod := v.podOf(job)
	if bound {
		if err := v.stage.Remove(ctx, job); err != nil {
			r.Errors = append(r.Errors, err.Error())
		}
		return true, false
	}
	if pod != nil && pod.Spec.NodeName != "" {
		node = pod.Spec.NodeName
	}
	if err == nil && v.succeeded(job) {
		took := v.env.Clock.Since(began)
		v.took.add("reading on "+node, took)
		r.Nodes = append(r.Nodes, NodeResult{Node: node, OK: true, Seconds: took.Seconds()})
		return false, true
	}
	what := "reading the volume"
	if node != "" {
		what += " on node " + node
	}
	why := v.why(ctx, what, job, err, true)
	r.Errors = append(r.Errors, why)
	if node != "" {
		r.Nodes = append(r.Nodes, NodeResult{Node: node, Message: why})
	}
	return false, false
}

// boundElsewhere tells that the scheduler finds no node for a pod since the volume cannot follow it
// (pkg/scheduler/framework/plugins/volumebinding, ErrReasonNodeConflict, and volumezone).
func (v *volumeRun) boundElsewhere(p *corev1.Pod) bool {
	if p == nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && !strings.Contains(c.Message, "Insufficient") {
			return strings.Contains(c.Message, "volume node affinity conflict") || strings.Contains(c.Message, "PersistentVolume's node affinity") ||
				strings.Contains(c.Message, "no available volume zone")
		}
	}
	return false
}

// otherNode tells that a pod may go to a node that did not write; where nodes may not be listed it is
// tried.
func (v *volumeRun) otherNode() bool {
	if v.nodes.Denied() != nil {
		return true
	}
	template := &corev1.Pod{Spec: corev1.PodSpec{Tolerations: v.options.tolerations}}
	for _, n := range v.nodes.All() {
		if n.Name == v.writer || slices.Contains(v.options.ignored, n.Name) || n.Spec.Unschedulable || !n.DeletionTimestamp.IsZero() ||
			snapshot.VirtualNode(n) || notReady(n) != "" {
			continue
		}
		if !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return t.Effect != corev1.TaintEffectPreferNoSchedule && !snapshot.Tolerates(template, &t)
		}) {
			return true
		}
	}
	return false
}

// awayFrom keeps a pod from some nodes.
func awayFrom(nodes []string) *corev1.Affinity {
	affinity := onNode(corev1.NodeSelectorOpNotIn, nodes[0])
	term := &affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0]
	for _, node := range nodes[1:] {
		// A field takes one value only (pkg/apis/core/validation, ValidateNodeFieldSelectorRequirement).
		more := term.MatchFields[0]
		more.Values = []string{node}
		term.MatchFields = append(term.MatchFields, more)
	}
	return affinity
}

func (v *volumeRun) claimNow() *corev1.PersistentVolumeClaim {
	for _, c := range v.claims.All() {
		if c.Name == v.claim.Name {
			return c
		}
	}
	return nil
}

func (v *volumeRun) jobNow(job *batchv1.Job) *batchv1.Job {
	for _, j := range v.jobs.All() {
		if j.Name == job.Name {
			return j
		}
	}
	return nil
}

func (v *volumeRun) podOf(job *batchv1.Job) *corev1.Pod {
	for _, p := range v.pods.All() {
		if p.Labels[labelStep] == job.Spec.Template.Labels[labelStep] {
			return p
		}
	}
	return nil
}

// ended waits for the pod itself and not for its Job's word, which comes later: the pod lets the
// volume go. One that its kubelet does not take up is not waited for.
func (v *volumeRun) ended(ctx context.Context, job *batchv1.Job) bool {
	if p := v.podOf(job); p != nil && (snapshot.PodDone(p) || v.patience.anyIgnored(ctx, []*corev1.Pod{p})) {
		return true
	}
	j := v.jobNow(job)
	return j != nil && snapshot.JobFinished(j)
}

func (v *volumeRun) succeeded(job *batchv1.Job) bool {
	if p := v.podOf(job); p != nil && p.Status.Phase == corev1.PodSucceeded {
		return true
	}
	j := v.jobNow(job)
	return j != nil && j.Status.Succeeded > 0
}

// why says what a step came to grief on: the claim, where that is not bound, the pod, or the Job.
func (v *volumeRun) why(ctx context.Context, what string, job *batchv1.Job, late error, bound bool) string {
	asking, done := explaining(ctx, v.env)
	defer done()
	head := what + " failed: "
	if late != nil {
		head = fmt.Sprintf("%s did not succeed until %s: ", what, cutShort(late, v.views))
	}
	pod := v.podOf(job)
	if claim := v.claimNow(); !bound && claim != nil && claim.Status.Phase != corev1.ClaimBound && (pod == nil || pod.Spec.NodeName == "") {
		return head + v.whyUnbound(asking, claim, pod)
	}
	if pod != nil {
		return head + fmt.Sprintf("pod %s/%s %s", pod.Namespace, pod.Name, stage.WhyNot(asking, v.env.Client, pod))
	}
	if warning := stage.LastWarning(asking, v.env.Client, job); warning != "" {
		return head + "no pod was made: " + warning
	}
	return head + "the Job controller has made no pod"
}

func (v *volumeRun) whyUnbound(ctx context.Context, claim *corev1.PersistentVolumeClaim, pod *corev1.Pod) string {
	text := fmt.Sprintf("claim %s/%s is %s", claim.Namespace, claim.Name, claim.Status.Phase)
	class := claim.Spec.StorageClassName
	switch word := stage.LastWord(ctx, v.env.Client, claim); {
	case word != "":
		text += ": " + word
	case class == nil:
		text += ": it names no StorageClass, and the cluster has no default"
	}
	if class != nil {
		text += v.aboutClass(ctx, *class)
	}
	if pod != nil {
		if why := stage.WhyNot(ctx, v.env.Client, pod); why != "" {
			text += "; its pod " + why
		}
	}
	return text
}

// aboutClass adds what the StorageClass explains.
func (v *volumeRun) aboutClass(ctx context.Context, name string) string {
	var classes storagev1.StorageClassList
	if err := v.env.Client.List(ctx, &classes); err != nil {
		return "; its StorageClass is " + name
	}
	for i := range classes.Items {
		if classes.Items[i].Name == name {
			return fmt.Sprintf("; its StorageClass is %s, of the provisioner %s", name, classes.Items[i].Provisioner)
		}
	}
	return "; there is no StorageClass " + name
}
