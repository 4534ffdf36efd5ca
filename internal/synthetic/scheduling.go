package synthetic

import (
	"cmp"
	"errors"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Names of options that several scenarios take.
const (
	optionNodeSelector = "NODE_SELECTOR"
	optionTolerations  = "TOLERATIONS"
	optionGrace        = "SHUTDOWN_GRACE_PERIOD"
	optionVariables    = "ADDITIONAL_ENV_VARS"
)

// namespaceOr returns the namespace that an option names, or the one that the scenario runs in.
func (o *options) namespaceOr(name string, env Environment) string {
	return cmp.Or(o.text(name), env.Namespace)
}

// grace returns the time for cleaning up that the option names, or what the environment gives.
func (o *options) grace(env Environment, least time.Duration) time.Duration {
	if o.text(optionGrace) == "" {
		return env.Grace
	}
	return o.duration(optionGrace, least)
}

// pairs reads "key=value,..." in its order; of a key that comes twice the first counts, as in
// Kuberhealthy's checks.
func (o *options) pairs(name string) [][2]string {
	var out [][2]string
	seen := map[string]bool{}
	for _, item := range o.list(name) {
		key, value, ok := strings.Cut(item, "=")
		if !ok || key == "" {
			o.refuse(name, item, "key=value, with commas between")
			continue
		}
		if !seen[key] {
			out = append(out, [2]string{key, value})
		}
		seen[key] = true
	}
	return out
}

// nodeSelector reads labels of nodes; nil where there are none.
func (o *options) nodeSelector() map[string]string {
	var selector map[string]string
	for _, p := range o.pairs(optionNodeSelector) {
		if selector == nil {
			selector = map[string]string{}
		}
		selector[p[0]] = p[1]
	}
	return selector
}

// variables reads environment variables for containers.
func (o *options) variables() []corev1.EnvVar {
	var out []corev1.EnvVar
	for _, p := range o.pairs(optionVariables) {
		out = append(out, corev1.EnvVar{Name: p[0], Value: p[1]})
	}
	return out
}

// tolerations reads "key", "key=value", "key=value:effect" and, beyond Kuberhealthy, "key:effect".
func (o *options) tolerations(name string) []corev1.Toleration {
	var out []corev1.Toleration
	for _, item := range o.list(name) {
		taint, valued, err := parseTaint(item)
		if err != nil {
			o.refuse(name, item, err.Error())
			continue
		}
		t := corev1.Toleration{Key: taint.Key, Operator: corev1.TolerationOpExists, Effect: taint.Effect}
		if valued {
			t.Operator, t.Value = corev1.TolerationOpEqual, taint.Value
		}
		out = append(out, t)
	}
	return out
}

// taints reads "key:effect" and "key=value:effect".
func (o *options) taints(name string) []corev1.Taint {
	var out []corev1.Taint
	for _, item := range o.list(name) {
		taint, _, err := parseTaint(item)
		if err != nil {
			o.refuse(name, item, err.Error())
			continue
		}
		out = append(out, taint)
	}
	return out
}

// parseTaint reads one taint; its error says what to write instead.
func parseTaint(item string) (t corev1.Taint, valued bool, err error) {
	rest, effect, _ := strings.Cut(item, ":")
	t.Key, t.Value, valued = strings.Cut(rest, "=")
	t.Effect = corev1.TaintEffect(effect)
	switch t.Effect {
	case "", corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
	default:
		return t, valued, errors.New("NoSchedule, PreferNoSchedule or NoExecute as its effect")
	}
	if t.Key == "" {
		return t, valued, errors.New("key=value:effect, with commas between")
	}
	return t, valued, nil
}
