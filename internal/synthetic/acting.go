package synthetic

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/synthetic/stage"
)

const (
	// longestExplanation bounds the time for asking why something failed once the run's time is over.
	longestExplanation = 10 * time.Second
	// nobody is the user that pods run as where the checker itself is root, or is no pod.
	nobody = 65532
	// afterExpiry is added to a run's deadline and grace for what it makes to expire: its clock and
	// that of the next run's node need not agree.
	afterExpiry = time.Minute
)

// act plays a scenario that makes objects, and removes what it made, within env.Grace after its end.
func act(ctx context.Context, env Environment, scenario string, play func(ctx context.Context, s *stage.Stage, r *Result)) Result {
	s := newStage(env, scenario)
	s.Expires, s.Owner = outlives(ctx, env, scenario), ownPod(ctx, env)
	var r Result
	play(ctx, s, &r)
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), env.Grace)
	defer cancel()
	if err := s.Strike(clean); err != nil {
		r.Errors = append(r.Errors, sentences("cleaning up: ", err)...)
	}
	r.Notes = append(r.Notes, s.Notes()...)
	return r
}

func newStage(env Environment, scenario string) *stage.Stage {
	return &stage.Stage{Client: env.Client, Clock: env.Clock, Log: env.Log, Scenario: scenario, Run: env.RunID}
}

// outlives is a time when the run is over for certain.
func outlives(ctx context.Context, env Environment, scenario string) time.Time {
	end, ok := ctx.Deadline()
	if !ok {
		known, _ := All.Find(scenario)
		end = env.Clock.Now().Add(known.Time)
	}
	return end.Add(env.Grace + afterExpiry)
}

// ownPod reads the pod that the scenario runs in. It is done without where it may not be read, or
// there is none.
func ownPod(ctx context.Context, env Environment) *corev1.Pod {
	if env.Pod == "" {
		return nil
	}
	var p corev1.Pod
	if err := env.Client.Get(ctx, client.ObjectKey{Namespace: env.Namespace, Name: env.Pod}, &p); err != nil {
		env.Log.Info("what is made will not belong to this pod, which cannot be read", "error", err)
		return nil
	}
	return &p
}

// sweep removes what earlier runs have left, and tells of it.
func sweep(ctx context.Context, s *stage.Stage, r *Result, namespace string, lists ...client.ObjectList) {
	removed, err := s.Sweep(ctx, namespace, lists...)
	if removed > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("removed %d objects that an earlier run had left", removed))
	}
	if err != nil {
		r.Notes = append(r.Notes, sentences("what earlier runs left could not be removed: ", err)...)
	}
}

// explaining gives the context for asking why something failed: the run's own may be over.
func explaining(ctx context.Context, env Environment) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), min(longestExplanation, env.Grace))
}

// sentences makes one of each line of an error.
func sentences(prefix string, err error) []string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = prefix + lines[i]
	}
	return lines
}

// cutShort says why waiting ended without what was waited for.
func cutShort(err error, views *stage.Views) string {
	why := "the time of the run was over"
	if stage.Stopped(err) {
		why = "the run was stopped"
	}
	if trouble := views.Trouble(); trouble != nil {
		why += ", and the API server could not be read: " + stage.Refused(trouble).Error()
	}
	return why
}

// runAs is the user that pods run as: the checker's own where it is not root, which the cluster's
// policies have allowed already.
func runAs() *int64 {
	if uid := os.Getuid(); uid > 0 {
		return new(int64(uid))
	}
	return new(int64(nobody))
}

// restrict makes a pod keep the Pod Security level "restricted":
// https://kubernetes.io/docs/concepts/security/pod-security-standards/
func restrict(p *corev1.PodSpec) {
	p.AutomountServiceAccountToken = new(false)
	p.EnableServiceLinks = new(false)
	p.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: runAs(), RunAsGroup: runAs(), FSGroup: runAs(),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for i := range p.Containers {
		p.Containers[i].SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	}
}

// asTheImageIs lets an image of the user's run as the user that it names, which may be root: that is
// how Kuberhealthy runs it.
func asTheImageIs(p *corev1.PodSpec) {
	restrict(p)
	p.SecurityContext.RunAsNonRoot, p.SecurityContext.RunAsUser, p.SecurityContext.RunAsGroup = nil, nil, nil
	for i := range p.Containers {
		p.Containers[i].SecurityContext.Capabilities = nil
	}
}

// tiny is what a pod of a scenario asks for where no option says.
func tiny() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("8Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
	}
}

// names lists some names, and how many more there are.
func names(all []string) string {
	const most = 5
	all = slices.Clone(all)
	slices.Sort(all)
	if len(all) > most {
		return strings.Join(all[:most], ", ") + fmt.Sprintf(" and %d more", len(all)-most)
	}
	return strings.Join(all, ", ")
}
