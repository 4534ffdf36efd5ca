package checker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/synthetic"
)

// What Kuberhealthy, and Maek, put into every checker pod.
const (
	envReportingURL = "KH_REPORTING_URL"
	envRunID        = "KH_RUN_UUID"
	envDeadline     = "KH_CHECK_RUN_DEADLINE"
	envNamespace    = "KH_POD_NAMESPACE"
)

// namespaceFile tells a pod its namespace, wherever it has a ServiceAccount's token.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// deadline is when the result has to be reported by. Without a usable one, the scenario has its usual
// time.
func (o Options) deadline(s synthetic.Scenario, now time.Time) (deadline time.Time, notes []string) {
	usual := now.Add(s.Time + margin)
	value := strings.TrimSpace(o.Getenv(envDeadline))
	if value == "" {
		return usual, nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds <= 0 {
		return usual, []string{fmt.Sprintf("the environment variable %s is %q: write seconds since 1970; until then the check takes %s at most", envDeadline, value, s.Time)}
	}
	return time.Unix(seconds, 0), nil
}

// environment is what the scenario acts in.
func (o Options) environment(now time.Time) synthetic.Environment {
	env := synthetic.Environment{
		Getenv: o.option, Node: o.Getenv("NODE_NAME"), Image: o.Getenv("MAEK_CHECKER_IMAGE"),
		Pod: cmp.Or(o.Getenv("POD_NAME"), o.Hostname), Namespace: cmp.Or(o.Getenv(envNamespace), o.Getenv("POD_NAMESPACE")),
		Grace: grace, Clock: o.Clock, Log: o.Log,
		RunID: runID(cmp.Or(o.Getenv(envRunID), o.Hostname+now.String())),
	}
	if env.Namespace == "" {
		if text, err := os.ReadFile(namespaceFile); err == nil {
			env.Namespace = strings.TrimSpace(string(text))
		}
	}
	env.Client = o.client()
	return env
}

// option is an environment variable that somebody set on purpose: container runtimes put the pod's own
// name into HOSTNAME, where Kuberhealthy's DNS check looks for the name to resolve.
func (o Options) option(name string) string {
	value := o.Getenv(name)
	if name == "HOSTNAME" && value == o.Hostname {
		return ""
	}
	return value
}

// client asks the API server. Where the pod has no way to it, each request says so: not all scenarios
// make one.
func (o Options) client() client.WithWatch {
	config, err := o.Config()
	if err == nil {
		var c client.WithWatch
		if c, err = synthetic.NewClient(config); err == nil {
			return c
		}
	}
	c, broken := synthetic.NewClient(&rest.Config{Host: "https://none.invalid", Transport: unreachable{err}})
	if broken != nil {
		panic(fmt.Sprintf("checker: a client without a server: %v", broken))
	}
	return c
}

// unreachable fails all requests.
type unreachable struct{ reason error }

// RoundTrip says why there is no API server.
func (u unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("the pod knows no API server: %w", u.reason)
}

// runID names what a run makes, without giving away the token that lets one report for it.
func runID(from string) string {
	sum := sha256.Sum256([]byte(from))
	return "r" + hex.EncodeToString(sum[:])[:9]
}

// creates tells whether a scenario makes pods.
func creates(s synthetic.Scenario) bool {
	for _, rule := range slices.Concat(s.Access, s.ClusterAccess) {
		if slices.Contains(rule.Verbs, "create") {
			return true
		}
	}
	return false
}

// ownImage is the image that this program runs from, as its own pod names it.
func ownImage(ctx context.Context, env synthetic.Environment) (string, error) {
	var pod corev1.Pod
	if err := env.Client.Get(ctx, client.ObjectKey{Namespace: env.Namespace, Name: env.Pod}, &pod); err != nil {
		return "", fmt.Errorf("reading the checker's own pod: %w", err)
	}
	if len(pod.Spec.Containers) != 1 {
		return "", fmt.Errorf("the pod %s has %d containers: set MAEK_CHECKER_IMAGE to the image of the check", env.Pod, len(pod.Spec.Containers))
	}
	return pod.Spec.Containers[0].Image, nil
}
