package takeover

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// scene is what is seen over time.
type scene struct {
	state state
	now   time.Time
}

func newScene() *scene {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &scene{state: newState(now), now: now}
}

func (s *scene) listed() { s.state.podsListed, s.state.leasesListed = true, true }

// pass lets time go by, with a look each second.
func (s *scene) pass(d time.Duration) {
	for range d / time.Second {
		s.now = s.now.Add(time.Second)
		s.state.verdict(s.now, DefaultSettle)
	}
}

func (s *scene) lease(version string) {
	s.state.see("kuberhealthy", lease{version: version, holder: "kuberhealthy-0", lasts: 15 * time.Second}, s.now)
}

func TestVerdict(t *testing.T) {
	tests := map[string]struct {
		play func(s *scene)
		// want is a part of why checks are held back; empty where they are not.
		want string
	}{
		"nothing was listed yet":                      {play: func(*scene) {}, want: "not known yet"},
		"nothing can be listed":                       {play: func(s *scene) { s.pass(time.Minute) }, want: "cannot be told"},
		"pods can be listed and Leases cannot":        {play: func(s *scene) { s.state.podsListed = true; s.pass(time.Minute) }, want: "cannot be told"},
		"nobody is there":                             {play: func(s *scene) { s.listed() }},
		"a pod runs":                                  {play: func(s *scene) { s.listed(); s.state.pods["kuberhealthy/kuberhealthy-0"] = true }, want: "pod kuberhealthy/kuberhealthy-0"},
		"a Lease that was never seen to be renewed":   {play: func(s *scene) { s.listed(); s.lease("1") }, want: "is seen within 15s"},
		"a Lease that a dead one left":                {play: func(s *scene) { s.listed(); s.lease("1"); s.pass(15 * time.Second) }},
		"a Lease that is renewed":                     {play: func(s *scene) { s.listed(); s.lease("1"); s.pass(2 * time.Second); s.lease("2") }, want: "kuberhealthy-0 renews its Lease"},
		"a Lease that is listed again is not renewed": {play: func(s *scene) { s.listed(); s.lease("1"); s.pass(14 * time.Second); s.lease("1"); s.pass(time.Second) }},
		"a Lease that was given back": {play: func(s *scene) {
			s.listed()
			s.state.see("kuberhealthy", lease{version: "1", lasts: time.Minute}, s.now)
		}},
		"a renewed Lease that lapsed a moment ago":     {play: func(s *scene) { s.listed(); s.lease("1"); s.lease("2"); s.pass(16 * time.Second) }, want: "is gone; its checks are run when it stays so for 1m0s"},
		"a renewed Lease that lapsed some time ago":    {play: func(s *scene) { s.listed(); s.lease("1"); s.lease("2"); s.pass(90 * time.Second) }},
		"pods that were there and went a moment ago":   {play: func(s *scene) { podGoes(s); s.pass(30 * time.Second) }, want: "is gone"},
		"pods that were there and went a while ago":    {play: func(s *scene) { podGoes(s); s.pass(61 * time.Second) }},
		"pods that went and came back while it waited": {play: func(s *scene) { podGoes(s); s.pass(30 * time.Second); s.state.pods["a/b"] = true }, want: "pod a/b"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			tc.play(s)
			held, why := s.state.verdict(s.now, DefaultSettle)
			if held != (tc.want != "") || !strings.Contains(why, tc.want) {
				t.Errorf("held = %v (%s), want %q", held, why, tc.want)
			}
		})
	}
}

func podGoes(s *scene) {
	s.listed()
	s.state.pods["a/b"] = true
	s.pass(time.Second)
	delete(s.state.pods, "a/b")
}

func TestWhoseImage(t *testing.T) {
	tests := map[string]bool{
		"docker.io/kuberhealthy/kuberhealthy:v2.8.0-rc2":             true,
		"docker.io/kuberhealthy/kuberhealthy:main":                   true,
		"kuberhealthy/kuberhealthy":                                  true,
		"registry.local:5000/mirror/kuberhealthy@sha256:0123":        true,
		"registry.local:5000/mirror/kuberhealthy:v3.0.13@sha256:012": true,
		"kuberhealthy":                             true,
		"kuberhealthy/daemonset-check:v3.3.0":      false,
		"kuberhealthy/deployment-check":            false,
		"ghcr.io/maek-dev/maek-operator:v0.1.0":    false,
		"registry.kuberhealthy.local:5000/nginx:1": false,
		"": false,
	}
	for image, want := range tests {
		pod := &corev1.Pod{
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Image: "sidecar:1"}, {Image: image}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning},
		}
		if got := runs(pod); got != want {
			t.Errorf("a running pod of image %q is Kuberhealthy's = %v, want %v", image, got, want)
		}
		pod.Status.Phase = corev1.PodSucceeded
		if runs(pod) {
			t.Errorf("a pod of image %q that ended runs checks", image)
		}
	}
}
