package inservice

import (
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// slice is an EndpointSlice of a Service; each endpoint is written as its pod's UID with a mark: - for one that
// is not ready, ! for one that terminates, ? for one that does not say.
func slice(service string, kind discoveryv1.AddressType, endpoints ...string) discoveryv1.EndpointSlice {
	s := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{discoveryv1.LabelServiceName: service}}, AddressType: kind}
	for _, text := range endpoints {
		uid := strings.TrimRight(text, "-!?")
		e := discoveryv1.Endpoint{Addresses: []string{"10.0.0." + uid}, TargetRef: &corev1.ObjectReference{UID: types.UID(uid)}}
		switch text[len(uid):] {
		case "":
			e.Conditions.Ready = new(true)
		case "-":
			e.Conditions.Ready = new(false)
		case "!":
			e.Conditions.Ready, e.Conditions.Terminating = new(false), new(true)
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func service(name, app string, change ...func(*corev1.Service)) corev1.Service {
	s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if app != "" {
		s.Spec.Selector = map[string]string{"app": app}
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func TestFloor(t *testing.T) {
	const v4, v6 = discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6
	ignoring := func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }
	web := []corev1.Service{service("web", "web")}
	cases := map[string]struct {
		services []corev1.Service
		slices   []discoveryv1.EndpointSlice
		absent   []types.UID
		percent  int
		want     string
	}{
		"one of two":                               {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2")}, nil, 50, ""},
		"the only one":                             {web, []discoveryv1.EndpointSlice{slice("web", v4, "1")}, nil, 1, brakeLastEndpoint},
		"the only one that is ready":               {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2-", "3-")}, nil, 1, brakeLastEndpoint},
		"the other terminates":                     {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2!")}, nil, 1, brakeLastEndpoint},
		"the other was taken out":                  {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2")}, []types.UID{"2"}, 1, brakeLastEndpoint},
		"the other does not say":                   {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2?")}, nil, 1, ""},
		"rounded up: 2 of 3 must stay":             {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2", "3-")}, nil, 50, brakeLastEndpoint},
		"2 of 3 stay":                              {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2", "3")}, nil, 50, ""},
		"100 percent":                              {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2", "3")}, nil, 100, brakeLastEndpoint},
		"spread over slices":                       {web, []discoveryv1.EndpointSlice{slice("web", v4, "1"), slice("web", v4, "2")}, nil, 50, ""},
		"the other twice is not two":               {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2", "3-"), slice("web", v4, "2")}, nil, 50, brakeLastEndpoint},
		"the other not ready on one of its ports":  {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2"), slice("web", v4, "2-")}, nil, 1, brakeLastEndpoint},
		"enough of one family only":                {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2"), slice("web", v6, "1", "2-")}, nil, 50, brakeLastEndpoint},
		"no slice yet":                             {web, nil, nil, 1, brakeLastEndpoint},
		"no Service":                               {nil, nil, nil, 1, brakeNoService},
		"Services of others":                       {[]corev1.Service{service("db", "db")}, []discoveryv1.EndpointSlice{slice("db", v4, "2")}, nil, 1, brakeNoService},
		"a Service that does not ask for ready":    {[]corev1.Service{service("web", "web", ignoring)}, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2")}, nil, 1, brakeNoService},
		"beside one that does not ask for ready":   {append([]corev1.Service{service("peers", "web", ignoring)}, web...), []discoveryv1.EndpointSlice{slice("web", v4, "1", "2"), slice("peers", v4, "1")}, nil, 50, ""},
		"without a selector, by somebody's slice":  {[]corev1.Service{service("hand", "")}, []discoveryv1.EndpointSlice{slice("hand", v4, "1")}, nil, 1, brakeLastEndpoint},
		"the second Service cannot spare it":       {append([]corev1.Service{service("lead", "web")}, web...), []discoveryv1.EndpointSlice{slice("web", v4, "1", "2"), slice("lead", v4, "1")}, nil, 50, brakeLastEndpoint},
		"a Service by an external name is no load": {append([]corev1.Service{service("far", "web", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName })}, web...), []discoveryv1.EndpointSlice{slice("web", v4, "1", "2")}, nil, 50, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := behind(tc.services, tc.slices, webPods(3))
			for _, uid := range tc.absent {
				s.outs[uid] = true
			}
			p := webPods(1)[0]
			got, message := s.floor(&p, tc.percent)
			if got != tc.want {
				t.Errorf("got %q (%s), want %q", got, message, tc.want)
			}
		})
	}
}

// webPods are ready pods with the UIDs 1 and up, on nodes of their own.
func webPods(n int) []corev1.Pod {
	var out []corev1.Pod
	for i := range n {
		uid := strconv.Itoa(i + 1)
		out = append(out, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{NodeName: "node-" + uid},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		})
	}
	return out
}

// TestFloorBelievesNoSliceMoreThanItsPods has pods 1 to 4, of which 1 is to be taken out.
func TestFloorBelievesNoSliceMoreThanItsPods(t *testing.T) {
	const v4 = discoveryv1.AddressTypeIPv4
	web, hand := []corev1.Service{service("web", "web")}, []corev1.Service{service("hand", "")}
	endpoint := func(change func(*discoveryv1.Endpoint)) discoveryv1.EndpointSlice {
		s := slice("web", v4, "9")
		s.Endpoints[0].TargetRef = nil
		change(&s.Endpoints[0])
		return s
	}
	of := func(service string, s discoveryv1.EndpointSlice) discoveryv1.EndpointSlice {
		s.Labels = map[string]string{discoveryv1.LabelServiceName: service}
		return s
	}
	addressed := func(pods []corev1.Pod) {
		for i := range pods {
			pods[i].Status.PodIP = "10.0.0." + string(pods[i].UID)
		}
	}
	cases := map[string]struct {
		services []corev1.Service
		slices   []discoveryv1.EndpointSlice
		pods     func([]corev1.Pod)
		trouble  string
		percent  int
		want     string
	}{
		"all as it should be":     {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2", "3", "4")}, addressed, "", 75, ""},
		"a pod that nobody knows": {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "7")}, nil, "", 1, brakeLastEndpoint},
		"a pod that is not ready, whatever the slice says": {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2")}, func(pods []corev1.Pod) {
			pods[1].Status.Conditions[0].Status = corev1.ConditionFalse
		}, "", 1, brakeLastEndpoint},
		"a pod that terminates, whatever the slice says": {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2")}, func(pods []corev1.Pod) {
			pods[1].DeletionTimestamp = new(metav1.NewTime(noon))
		}, "", 1, brakeLastEndpoint},
		"the selector has changed, and the slices still have the pods of before": {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2", "3", "4")}, func(pods []corev1.Pod) {
			for i := range pods[1:] {
				pods[i+1].Labels = map[string]string{"app": "blue"}
			}
		}, "", 1, brakeLastEndpoint},
		"the selector has changed, and the slices lack the pods of now": {web, []discoveryv1.EndpointSlice{slice("web", v4, "1", "2")}, addressed, "", 50, brakeLastEndpoint},
		"an address by hand beside the selected":                        {web, []discoveryv1.EndpointSlice{slice("web", v4, "1"), endpoint(func(*discoveryv1.Endpoint) {})}, nil, "", 1, brakeLastEndpoint},
		"its own address by hand": {web, []discoveryv1.EndpointSlice{slice("web", v4, "1"), endpoint(func(e *discoveryv1.Endpoint) { e.Addresses = []string{"10.0.0.1"} })}, func(pods []corev1.Pod) {
			pods[0].Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}}
		}, "", 1, brakeLastEndpoint},
		"its own address by hand where no pods are selected": {hand, []discoveryv1.EndpointSlice{
			slice("hand", v4, "1"), of("hand", endpoint(func(e *discoveryv1.Endpoint) { e.Addresses = []string{"10.0.0.1"} })),
		}, addressed, "", 1, brakeLastEndpoint},
		"an address from outside where no pods are selected": {hand, []discoveryv1.EndpointSlice{slice("hand", v4, "1"), of("hand", endpoint(func(*discoveryv1.Endpoint) {}))}, nil, "", 1, ""},
		"such an address on a node that is cordoned": {hand, []discoveryv1.EndpointSlice{
			slice("hand", v4, "1"), of("hand", endpoint(func(e *discoveryv1.Endpoint) { e.NodeName = new("node-9") })),
		}, nil, "node-9", 1, brakeLastEndpoint},
		"something that is no pod": {web, []discoveryv1.EndpointSlice{slice("web", v4, "1"), endpoint(func(e *discoveryv1.Endpoint) {
			e.TargetRef = &corev1.ObjectReference{Kind: "Node", UID: "2"}
		})}, nil, "", 1, brakeLastEndpoint},
		"the slice names another node than the pod": {web, []discoveryv1.EndpointSlice{slice("web", v4, "1"), endpoint(func(e *discoveryv1.Endpoint) {
			e.TargetRef, e.NodeName = &corev1.ObjectReference{Kind: "Pod", UID: "2"}, new("node-3")
		})}, nil, "node-2", 1, brakeLastEndpoint},
		"somebody's slice names it beside a Service that can spare it": {append(hand, web...), []discoveryv1.EndpointSlice{slice("web", v4, "1", "2"), slice("hand", v4, "1", "2-")}, nil, "", 50, brakeLastEndpoint},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pods := webPods(4)
			if tc.pods != nil {
				tc.pods(pods)
			}
			s := behind(tc.services, tc.slices, pods)
			s.troubles = map[string]trouble{tc.trouble: {brakeCordoned, "cordoned"}}
			delete(s.troubles, "")
			if got, message := s.floor(&pods[0], tc.percent); got != tc.want {
				t.Errorf("got %q (%s), want %q", got, message, tc.want)
			}
		})
	}
}

func TestMayFail(t *testing.T) {
	cases := map[string]struct{ pods, percent, want int }{
		"one pod":                    {1, 30, 0},
		"two pods":                   {2, 30, 0},
		"two pods, all may":          {2, 100, 2},
		"three pods: one in any way": {3, 30, 1},
		"three pods, one percent":    {3, 1, 1},
		"ten pods":                   {10, 30, 3},
		"rounded down":               {9, 30, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := mayFail(tc.pods, tc.percent); got != tc.want {
				t.Errorf("%d of %d may fail, want %d", got, tc.pods, tc.want)
			}
		})
	}
}
