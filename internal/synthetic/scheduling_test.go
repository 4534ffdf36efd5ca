package synthetic

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestTolerations(t *testing.T) {
	tests := map[string]struct {
		text string
		want []corev1.Toleration
		// wantError is part of what is to be written instead.
		wantError string
	}{
		"none": {},
		"a key": {
			text: "dedicated", want: []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}},
		},
		"each once, with blanks": {
			text: "a=b:NoSchedule, c=d ,", want: []corev1.Toleration{
				{Key: "a", Operator: corev1.TolerationOpEqual, Value: "b", Effect: corev1.TaintEffectNoSchedule},
				{Key: "c", Operator: corev1.TolerationOpEqual, Value: "d"},
			},
		},
		"no value": {
			text: "a=:NoExecute,b:NoSchedule", want: []corev1.Toleration{
				{Key: "a", Operator: corev1.TolerationOpEqual, Effect: corev1.TaintEffectNoExecute},
				{Key: "b", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
			},
		},
		"no effect of Kubernetes": {text: "a=b:Never", wantError: "NoSchedule, PreferNoSchedule or NoExecute"},
		"no key":                  {text: "=b:NoSchedule", wantError: "key=value:effect"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			env := Environment{Getenv: func(string) string { return tc.text }}
			o := env.read(daemonSetTable)
			got := o.tolerations(optionTolerations)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("tolerations (-want +got):\n%s", diff)
			}
			err := o.err()
			if (err != nil) != (tc.wantError != "") || err != nil && !strings.Contains(err.Error(), tc.wantError) {
				t.Errorf("error %v, want %q", err, tc.wantError)
			}
		})
	}
}

// TestOptionsThatMakeNoSense has each scenario refuse what it cannot do, before it makes anything.
func TestOptionsThatMakeNoSense(t *testing.T) {
	tests := map[string]struct {
		scenario string
		options  map[string]string
		want     string
	}{
		"a selector without value":   {daemonSetScenario, map[string]string{"NODE_SELECTOR": "role"}, `the environment variable NODE_SELECTOR is "role": write key=value, with commas between`},
		"a grace that is too short":  {daemonSetScenario, map[string]string{"SHUTDOWN_GRACE_PERIOD": "5s"}, `the environment variable SHUTDOWN_GRACE_PERIOD is "5s": write a duration of at least 1m0s, such as 30s, 10m or 1h30m`},
		"no replicas":                {deploymentScenario, map[string]string{"CHECK_DEPLOYMENT_REPLICAS": "0"}, `the environment variable CHECK_DEPLOYMENT_REPLICAS is "0": write a whole number from 1 to 1000`},
		"a port that is none":        {deploymentScenario, map[string]string{"CHECK_CONTAINER_PORT": "http"}, `the environment variable CHECK_CONTAINER_PORT is "http": write a whole number from 1 to 65535`},
		"a size that is none":        {storageScenario, map[string]string{"CHECK_STORAGE_PVC_SIZE": "-1Gi"}, `the environment variable CHECK_STORAGE_PVC_SIZE is "-1Gi": write a size such as 1Gi`},
		"a selector of no labels":    {namespacePodScenario, map[string]string{"NAMESPACE_SELECTOR": "a in"}, `the environment variable NAMESPACE_SELECTOR is "a in": write labels such as team=shop,stage!=test`},
		"no image":                   {imageDownloadScenario, map[string]string{"TIMEOUT_LIMIT": "1m"}, `the environment variable FULL_IMAGE_URL is not set: write an image such as nginx:1.29`},
		"a login without a password": {imageDownloadScenario, map[string]string{"FULL_IMAGE_URL": "a", "TIMEOUT_LIMIT": "1m", "LOGIN_REQUIRED": "true", "REGISTRY_USERNAME": "u"}, `the environment variable REGISTRY_PASSWORD is not set: write the password for the registry`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cluster := actingCluster(t)
			_, err := acting[tc.scenario].run(t.Context(), cluster.environment(tc.options))
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if left := cluster.left(t); len(left) > 0 {
				t.Errorf("made: %v", left)
			}
		})
	}
}

// TestNamesAreValid has names of any length stay within what their pods' labels and names take.
func TestNamesAreValid(t *testing.T) {
	cluster := actingCluster(t)
	env := cluster.environment(map[string]string{
		"CHECK_DAEMONSET_NAME": strings.Repeat("Long-", 50), "CHECK_DEPLOYMENT_NAME": strings.Repeat("long.", 50), "CHECK_SERVICE_NAME": strings.Repeat("long-", 50),
	})
	env.RunID = strings.Repeat("r", 16)
	var longest string
	for _, name := range []string{"CHECK_DAEMONSET_NAME", "CHECK_DEPLOYMENT_NAME", "CHECK_SERVICE_NAME"} {
		s := newStage(env, daemonSetScenario)
		if made := s.Name(env.Getenv(name)); len(made) > len(longest) {
			longest = made
		}
	}
	if len(longest) > 63-1-10-1-5 {
		t.Errorf("%s has %d characters", longest, len(longest))
	}
}
