package probe_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
)

func TestWhichEndsAreNotTheLast(t *testing.T) {
	rule := func(action corev1.ContainerRestartRuleAction, operator corev1.ContainerRestartRuleOnExitCodesOperator) []corev1.ContainerRestartRule {
		return []corev1.ContainerRestartRule{
			{Action: "Odd"}, // without exit codes
			{Action: action, ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: operator, Values: []int32{42}}},
		}
	}
	const (
		restart    = corev1.ContainerRestartRuleActionRestart
		restartAll = corev1.ContainerRestartRuleActionRestartAllContainers
		in, notIn  = corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn
		never      = corev1.ContainerRestartPolicyNever
	)
	tests := map[string]struct {
		pod       corev1.RestartPolicy
		container *corev1.ContainerRestartPolicy
		rules     []corev1.ContainerRestartRule
		other     []corev1.ContainerRestartRule
		condition bool
		code      int32
		wantEnd   bool
	}{
		"Always":                                     {pod: corev1.RestartPolicyAlways},
		"no policy is Always":                        {},
		"OnFailure after a failure":                  {pod: corev1.RestartPolicyOnFailure, code: 1},
		"OnFailure after a success":                  {pod: corev1.RestartPolicyOnFailure, wantEnd: true},
		"Never":                                      {pod: corev1.RestartPolicyNever, code: 1, wantEnd: true},
		"the container's Never":                      {pod: corev1.RestartPolicyAlways, container: new(never), code: 1, wantEnd: true},
		"the container's OnFailure":                  {pod: corev1.RestartPolicyNever, container: new(corev1.ContainerRestartPolicyOnFailure), code: 1},
		"a rule for this code":                       {container: new(never), rules: rule(restart, in), code: 42},
		"a rule for another code":                    {container: new(never), rules: rule(restart, in), code: 1, wantEnd: true},
		"a rule for all other codes":                 {container: new(never), rules: rule(restart, notIn), code: 1},
		"a rule for all codes but this":              {container: new(never), rules: rule(restart, notIn), code: 42, wantEnd: true},
		"a rule by which all start again":            {container: new(never), rules: rule(restartAll, in), code: 42},
		"another container's end, which starts all":  {pod: corev1.RestartPolicyNever, other: rule(restartAll, in), code: 1},
		"another container's end, which starts one":  {pod: corev1.RestartPolicyNever, other: rule(restart, in), code: 1, wantEnd: true},
		"all containers are just being started anew": {pod: corev1.RestartPolicyNever, condition: true, code: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			worker := asks(probe.Liveness)
			worker.Pod.RestartPolicy = tc.pod
			worker.Container.RestartPolicy, worker.Container.RestartPolicyRules = tc.container, tc.rules
			worker.Pod.Containers = append(worker.Pod.Containers, corev1.Container{Name: "other", RestartPolicyRules: tc.other})
			status := pod(func(s *corev1.PodStatus, c *corev1.ContainerStatus) {
				c.State = ended(tc.code)
				s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{Name: "other", State: ended(42)})
				if tc.condition {
					s.Conditions = []corev1.PodCondition{{Type: corev1.AllContainersRestarting, Status: corev1.ConditionTrue}}
				}
			})
			if state, _ := worker.Step(probe.State{}, probe.Input{At: begin, Status: status}); state.Ended != tc.wantEnd {
				t.Errorf("the worker has ended: %t, want %t", state.Ended, tc.wantEnd)
			}
		})
	}
}
