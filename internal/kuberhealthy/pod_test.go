package kuberhealthy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

const oneContainer = `{"containers":[{"name":"main","image":"example.com/x:1"}]}`

func checkWith(api kuberhealthy.API, podSpec string) kuberhealthy.Check {
	check := kuberhealthy.Check{
		API: api, Kind: kuberhealthy.KindCheck, UID: "u1",
		NamespacedName: types.NamespacedName{Namespace: "shop", Name: "cart"},
		Timeout:        time.Minute, Interval: time.Hour, PodSpec: []byte(podSpec),
	}
	if api == kuberhealthy.V3 {
		check.Kind = kuberhealthy.KindHealthCheck
	}
	return check
}

func podOf(t *testing.T, check kuberhealthy.Check) corev1.Pod {
	t.Helper()
	pod, err := kuberhealthy.Pod(check, run, settings)
	if err != nil {
		t.Fatal(err)
	}
	var typed corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(pod.Object, &typed); err != nil {
		t.Fatal(err)
	}
	return typed
}

func TestEnvironmentOfCheckers(t *testing.T) {
	const theirs = `[{"name":"KH_RUN_UUID","value":"mine"},{"name":"A","value":"1"},{"name":"KH_RUN_UUID","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]`
	spec := fmt.Sprintf(`{"containers":[{"name":"a","image":"i","env":%s},{"name":"b","image":"i"}],"initContainers":[{"name":"c","image":"i","env":%s}]}`, theirs, theirs)
	ours := func(url string) []corev1.EnvVar {
		return []corev1.EnvVar{
			{Name: "KH_REPORTING_URL", Value: url},
			{Name: "KH_RUN_UUID", Value: run.ID},
			{Name: "KH_CHECK_RUN_DEADLINE", Value: strconv.FormatInt(run.Started.Add(time.Minute).Unix(), 10)},
			{Name: "KH_POD_NAMESPACE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}},
		}
	}
	a := []corev1.EnvVar{{Name: "A", Value: "1"}}
	tests := map[string]struct {
		api      kuberhealthy.API
		want     []corev1.EnvVar
		wantInit []corev1.EnvVar
	}{
		"version 2 tells containers": {api: kuberhealthy.V2, want: ours(settings.ReportingURLV2), wantInit: []corev1.EnvVar{
			{Name: "KH_RUN_UUID", Value: "mine"},
			{Name: "A", Value: "1"},
			{Name: "KH_RUN_UUID", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		}},
		"version 3 tells init containers too": {
			api: kuberhealthy.V3, want: ours(settings.ReportingURLV3),
			wantInit: slices.Concat(a, ours(settings.ReportingURLV3)),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := podOf(t, checkWith(tc.api, spec))
			if diff := cmp.Diff(slices.Concat(a, tc.want), pod.Spec.Containers[0].Env); diff != "" {
				t.Errorf("environment of a container that has one (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, pod.Spec.Containers[1].Env); diff != "" {
				t.Errorf("environment of a container that has none (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantInit, pod.Spec.InitContainers[0].Env); diff != "" {
				t.Errorf("environment of an init container (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHowLongAndOftenPodsRun(t *testing.T) {
	tests := map[string]struct {
		api          kuberhealthy.API
		spec         string
		timeout      time.Duration
		wantPolicy   corev1.RestartPolicy
		wantDeadline int64
	}{
		"version 2 never restarts":                {api: kuberhealthy.V2, spec: `"restartPolicy":"Always"`, timeout: time.Minute, wantPolicy: "Never", wantDeadline: 120},
		"version 3 restarts as it is told":        {api: kuberhealthy.V3, spec: `"restartPolicy":"OnFailure"`, timeout: time.Minute, wantPolicy: "OnFailure", wantDeadline: 120},
		"version 3 does not where nobody says":    {api: kuberhealthy.V3, spec: `"hostNetwork":false`, timeout: time.Minute, wantPolicy: "Never", wantDeadline: 120},
		"an empty policy says nothing":            {api: kuberhealthy.V3, spec: `"restartPolicy":""`, timeout: time.Minute, wantPolicy: "Never", wantDeadline: 120},
		"a shorter deadline stays":                {api: kuberhealthy.V3, spec: `"activeDeadlineSeconds":5`, timeout: time.Minute, wantPolicy: "Never", wantDeadline: 5},
		"a longer one does not":                   {api: kuberhealthy.V2, spec: `"activeDeadlineSeconds":6000`, timeout: time.Minute, wantPolicy: "Never", wantDeadline: 120},
		"no deadline at all is ours":              {api: kuberhealthy.V2, spec: `"activeDeadlineSeconds":null`, timeout: time.Minute, wantPolicy: "Never", wantDeadline: 120},
		"a deadline is not before the timeout":    {api: kuberhealthy.V2, spec: `"hostPID":false`, timeout: 1500 * time.Millisecond, wantPolicy: "Never", wantDeadline: 62},
		"a negative one is for the API server":    {api: kuberhealthy.V2, spec: `"activeDeadlineSeconds":-1`, timeout: time.Minute, wantPolicy: "Never", wantDeadline: -1},
		"the longest timeout is still a deadline": {api: kuberhealthy.V2, spec: `"hostIPC":false`, timeout: 20 * 365 * 24 * time.Hour, wantPolicy: "Never", wantDeadline: 630720060},
		"nor is it longer than the API allows":    {api: kuberhealthy.V2, spec: `"hostIPC":false`, timeout: 100 * 365 * 24 * time.Hour, wantPolicy: "Never", wantDeadline: 1<<31 - 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			check := checkWith(tc.api, `{"containers":[{"name":"main","image":"i"}],`+tc.spec+`}`)
			check.Timeout = tc.timeout
			pod := podOf(t, check)
			if pod.Spec.RestartPolicy != tc.wantPolicy || *pod.Spec.ActiveDeadlineSeconds != tc.wantDeadline {
				t.Errorf("restartPolicy %s and activeDeadlineSeconds %d, want %s and %d",
					pod.Spec.RestartPolicy, *pod.Spec.ActiveDeadlineSeconds, tc.wantPolicy, tc.wantDeadline)
			}
		})
	}
}

func TestPodSpecsThatAreNone(t *testing.T) {
	of := " of KuberhealthyCheck shop/cart "
	tests := map[string]struct{ spec, want string }{
		"nothing":                      {"", "no containers found in checks PodSpec: spec.podSpec" + of + "has none"},
		"null":                         {"null", "no containers found in checks PodSpec: spec.podSpec" + of + "has none"},
		"an empty one":                 {"{}", "no containers found in checks PodSpec: spec.podSpec" + of + "has none"},
		"init containers alone":        {`{"initContainers":[{"name":"a","image":"i"}]}`, "no containers found in checks PodSpec: spec.podSpec" + of + "has none"},
		"keys of another case":         {`{"Containers":[{"name":"a","image":"i"}]}`, "no containers found in checks PodSpec: spec.podSpec" + of + "has none"},
		"no image":                     {`{"containers":[{"name":"a"}]}`, "no image found in check's PodSpec for container a.: spec.podSpec.containers[0]" + of + "has none"},
		"a container that is null":     {`{"containers":[null]}`, "no image found in check's PodSpec for container .: spec.podSpec.containers[0]" + of + "has none"},
		"containers as a map":          {`{"containers":{"name":"a"}}`, "spec.podSpec" + of + "is no PodSpec: containers should be a list"},
		"an image as a number":         {`{"containers":[{"image":1}]}`, "spec.podSpec" + of + "is no PodSpec: containers.image should be a text"},
		"an environment as a text":     {`{"containers":[{"image":"i","env":["A"]}]}`, "spec.podSpec" + of + "is no PodSpec: containers.env should be a map"},
		"a number that is no deadline": {`{"activeDeadlineSeconds":1e99}`, "spec.podSpec" + of + "is no PodSpec: activeDeadlineSeconds should be a whole number"},
		"a switch as a text":           {`{"hostNetwork":"yes"}`, "spec.podSpec" + of + "is no PodSpec: hostNetwork should be true or false"},
		"a list":                       {"[]", "spec.podSpec" + of + "is no PodSpec: "},
		"a NUL byte":                   {"{\"containers\":\x00[]}", "spec.podSpec" + of + "is no PodSpec: invalid character"},
		"half of one":                  {`{"containers":[`, "spec.podSpec" + of + "is no PodSpec: unexpected end of JSON input"},
		"a hole without bottom":        {strings.Repeat(`{"affinity":`, 20000), "spec.podSpec" + of + "is no PodSpec: invalid character '{' exceeded max depth"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod, err := kuberhealthy.Pod(checkWith(kuberhealthy.V2, tc.spec), run, settings)
			if err == nil {
				t.Fatalf("got a pod: %v", pod.Object)
			}
			if !strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want %q", err, tc.want)
			}
		})
	}
}

func TestPodsKeepWhatIsNotKnown(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 5000) + "9007199254740993" + strings.Repeat("}", 5000)
	check := checkWith(kuberhealthy.V3, `{"containers":[{"name":"main","image":"i","inventedIn":"1.50"}],"alsoInvented":{"n":9007199254740993},"deep":`+deep+`,"bytes":"`+"\xff"+`"}`)
	pod, err := kuberhealthy.Pod(check, run, settings)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(pod.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"inventedIn":"1.50"`, `"alsoInvented":{"n":9007199254740993}`, `"bytes":"` + "\ufffd" + `"`, deep} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the pod lacks %.40s", want)
		}
	}
}

func TestPodsShareNothingWithTheirCheck(t *testing.T) {
	check := checkWith(kuberhealthy.V3, oneContainer)
	check.PodLabels = map[string]string{"l": "1", "kh-run-uuid": "forged", "maek.dev/run-of": "forged"}
	check.PodAnnotations = map[string]string{"a": "1"}
	before := fmt.Sprint(check)
	first, err := kuberhealthy.Pod(check, run, settings)
	if err != nil {
		t.Fatal(err)
	}
	if first.GetLabels()["kh-run-uuid"] != run.ID || first.GetLabels()["maek.dev/run-of"] != "u1" {
		t.Errorf("the user's labels stand over Maek's: %v", first.GetLabels())
	}
	first.GetLabels()["l"] = "2"
	first.Object["metadata"].(map[string]any)["labels"].(map[string]any)["l"] = "2"
	first.Object["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"] = "other"
	if after := fmt.Sprint(check); after != before {
		t.Errorf("the check has become\n%s\nfrom\n%s", after, before)
	}
	second := podOf(t, check)
	if second.Labels["l"] != "1" || second.Spec.Containers[0].Image != "example.com/x:1" {
		t.Errorf("a change of one pod is in the next: %v", second)
	}
}

func TestPodsOfManyLabels(t *testing.T) {
	check := checkWith(kuberhealthy.V2, oneContainer)
	check.PodLabels = map[string]string{}
	for i := range 20000 {
		check.PodLabels[fmt.Sprintf("example.com/%d", i)] = "x"
	}
	if got := len(podOf(t, check).Labels); got != 20004 {
		t.Errorf("got %d labels, want all, and four of Kuberhealthy's and Maek's: what is too much the API server says", got)
	}
}

func TestNamesOfPods(t *testing.T) {
	long := strings.Repeat("a", 253)
	tests := map[string]struct {
		api       kuberhealthy.API
		check     string
		want      string
		wantLabel string
	}{
		"version 2 ends in the second of the start": {kuberhealthy.V2, "cart", "cart-1795255200", "cart"},
		"version 3 ends in five digits":             {kuberhealthy.V3, "cart", "cart-8f8a1", "cart"},
		"dots stay":                                 {kuberhealthy.V2, "cart.shop", "cart.shop-1795255200", "cart.shop"},
		"the longest that fits is not cut": {
			kuberhealthy.V2, long[:52],
			long[:52] + "-1795255200", long[:52],
		},
		"one more is": {
			kuberhealthy.V2, long[:53],
			long[:43] + "-abe346a7-1795255200", long[:53],
		},
		"253 characters": {kuberhealthy.V3, long, long[:48] + "-32859a3a-8f8a1", long[:54] + "-32859a3a"},
		"a cut leaves no dot before the dash": {
			kuberhealthy.V3, strings.Repeat("a.", 126) + "a",
			strings.TrimSuffix(strings.Repeat("a.", 24), ".") + "-6b9a7168-8f8a1", strings.TrimSuffix(strings.Repeat("a.", 27), ".") + "-6b9a7168",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			check := checkWith(tc.api, oneContainer)
			check.Name = tc.check
			pod := podOf(t, check)
			label := pod.Labels["healthcheck"] + pod.Labels["kuberhealthy-check-name"]
			if pod.Name != tc.want || label != tc.wantLabel {
				t.Errorf("got %s with label %s, want %s with label %s", pod.Name, label, tc.want, tc.wantLabel)
			}
			if len(pod.Name) > 63 || len(validation.IsDNS1123Subdomain(pod.Name)) > 0 || len(validation.IsValidLabelValue(label)) > 0 {
				t.Errorf("%s or %s cannot be used", pod.Name, label)
			}
		})
	}
	if kuberhealthy.StateName("My Check") != "my-check" {
		t.Errorf("got the state %s", kuberhealthy.StateName("My Check"))
	}
}

// FuzzPod holds that whatever stands in a PodSpec becomes a pod that a server can decode and whose
// containers know their run, or an error of one line.
func FuzzPod(f *testing.F) {
	for _, seed := range []string{
		oneContainer, "", "null", "[]", `{"containers":[{"image":"i","env":[{"name":"KH_RUN_UUID"},null,{"Name":"x"}]}],"initContainers":[null]}`,
		`{"containers":[{"image":"i","resources":{"limits":{"cpu":"1\n"}}}],"activeDeadlineSeconds":9e3}`,
		`{"containers":[{"image":"i"}],"containers":[],"restartPolicy":7}`, `{"containers":[{"image":"i"}],"restartPolicy":null,"env":{}}`,
	} {
		f.Add(true, []byte(seed))
		f.Add(false, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, v3 bool, spec []byte) {
		api := kuberhealthy.V2
		if v3 {
			api = kuberhealthy.V3
		}
		check := checkWith(api, "")
		check.PodSpec = spec
		pod, err := kuberhealthy.Pod(check, run, settings)
		if err != nil {
			if text := check.Failure(kuberhealthy.NotCreated, run, run.Started, err.Error()); len(text) > 5000 {
				t.Fatalf("error of %d bytes", len(text))
			}
			return
		}
		var typed corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(pod.DeepCopy().Object, &typed); err != nil {
			t.Fatal(err)
		}
		if *typed.Spec.ActiveDeadlineSeconds > 120 || typed.Spec.RestartPolicy == "" {
			t.Fatalf("may run on: %+v", typed.Spec)
		}
		for _, container := range typed.Spec.Containers {
			told := 0
			for _, variable := range container.Env {
				if variable.Name == kuberhealthy.EnvRunID && variable.Value == run.ID {
					told++
				}
			}
			if told != 1 {
				t.Fatalf("the run is told %d times: %+v", told, container.Env)
			}
		}
	})
}
