package statuspage_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
)

const dns = "?namespace=kuberhealthy&healthcheck=dns"

func TestRunNow(t *testing.T) {
	for name, tc := range map[string]struct {
		method, query, token string
		running, down        bool
		want                 int
		wantBody             string
		wantBegun            []string
	}{
		"with the right":              {query: dns, token: "admin", want: 202, wantBegun: []string{"kuberhealthy/dns"}},
		"a check of version 2":        {query: "?namespace=kuberhealthy&healthcheck=daemonset", token: "admin", want: 202, wantBegun: []string{"kuberhealthy/daemonset"}},
		"a kind":                      {query: dns + "&kind=HealthCheck", token: "admin", want: 202, wantBegun: []string{"kuberhealthy/dns"}},
		"another kind":                {query: dns + "&kind=KuberhealthyCheck", token: "admin", want: 404, wantBody: "there is no KuberhealthyCheck kuberhealthy/dns"},
		"no kind of check":            {query: dns + "&kind=Pod", token: "admin", want: 400},
		"no token":                    {query: dns, want: 401, wantBody: "send a token"},
		"an unknown token":            {query: dns, token: "stolen", want: 401},
		"no right":                    {query: dns, token: "nobody", want: 403, wantBody: "update healthchecks.kuberhealthy.github.io dns in namespace kuberhealthy"},
		"rights cannot be looked up":  {query: dns, token: "slow", want: 503},
		"no such check":               {query: "?namespace=kuberhealthy&healthcheck=gone", token: "admin", want: 404, wantBody: "there is no HealthCheck kuberhealthy/gone"},
		"no such check and no right":  {query: "?namespace=kuberhealthy&healthcheck=gone", token: "nobody", want: 403},
		"no name":                     {query: "?namespace=kuberhealthy", token: "admin", want: 400},
		"no namespace":                {query: "?healthcheck=dns&namespace=", token: "admin", want: 400},
		"a run goes on":               {query: dns, token: "admin", running: true, want: 409, wantBody: "goes on already"},
		"it cannot be begun just now": {query: dns, token: "admin", down: true, want: 503},
		"by GET":                      {method: "GET", query: dns, token: "admin", want: 405},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.down = tc.down
			for i := range w.entries {
				w.entries[i].State.Running = tc.running
			}
			method := tc.method
			if method == "" {
				method = "POST"
			}
			// A browser that is made to send this sends cookies at most.
			got := ask(t, method, serve(t, w.options()), "/api/run"+tc.query, "", map[string]string{
				"Authorization": authorization(tc.token), "Cookie": "token=admin",
			})
			if got.status != tc.want || !strings.Contains(got.body, tc.wantBody) {
				t.Errorf("answered %d %q, want %d %q", got.status, got.body, tc.want, tc.wantBody)
			}
			if diff := cmp.Diff(tc.wantBegun, w.begun); diff != "" {
				t.Errorf("begun (-want +got):\n%s", diff)
			}
			if tc.token != "" && strings.Contains(w.logged(), tc.token) {
				t.Errorf("the log tells the token:\n%s", w.logged())
			}
		})
	}
}

func TestEvents(t *testing.T) {
	w := newWorld()
	at := metav1.NewTime(noon.Add(-time.Minute))
	w.events = []corev1.Event{
		{Message: "pod dns-pod was made for run " + runID, Reason: "PodCreated", Type: "Normal", LastTimestamp: at},
		{Message: "no report", Reason: "CheckRunTimedOut", Type: "Warning", EventTime: metav1.NewMicroTime(noon)},
		{Message: "no report", Reason: "CheckRunTimedOut", Type: "Warning", Series: &corev1.EventSeries{Count: 2, LastObservedTime: metav1.NewMicroTime(noon.Add(time.Hour))}},
	}
	address := serve(t, w.options())
	got := get(t, address, "/api/events"+dns, "admin")
	var events []map[string]any
	if err := json.Unmarshal([]byte(got.body), &events); err != nil {
		t.Fatalf("%v: %s", err, got.body)
	}
	want := []map[string]any{
		{"message": "pod dns-pod was made for run [redacted]", "reason": "PodCreated", "type": "Normal", "lastTimestamp": float64(at.Unix())},
		{"message": "no report", "reason": "CheckRunTimedOut", "type": "Warning", "lastTimestamp": float64(noon.Unix())},
		{"message": "no report", "reason": "CheckRunTimedOut", "type": "Warning", "lastTimestamp": float64(noon.Add(time.Hour).Unix())},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for token, status := range map[string]int{"": 401, "nobody": 403} {
		if got := get(t, address, "/api/events"+dns, token); got.status != status {
			t.Errorf("token %q: %d, want %d", token, got.status, status)
		}
	}
}

func TestLogs(t *testing.T) {
	for name, tc := range map[string]struct {
		path, token string
		want        int
		wantBody    string
	}{
		"as text":                 {path: "/api/logs" + dns + "&pod=dns-pod&format=text", token: "admin", want: 200, wantBody: "dns-pod main\nit works\n"},
		"a container":             {path: "/api/logs" + dns + "&pod=dns-pod&format=text&container=side", token: "admin", want: 200, wantBody: "dns-pod side\nit works\n"},
		"in another format":       {path: "/api/logs" + dns + "&pod=dns-pod", token: "admin", want: 406, wantBody: "format=text"},
		"of a pod that has ended": {path: "/api/logs" + dns + "&pod=dns-old&format=text", token: "admin", want: 200, wantBody: "dns-old main"},
		"followed":                {path: "/api/logs/stream" + dns + "&pod=dns-pod", token: "admin", want: 200, wantBody: "dns-pod main\nit works\n"},
		"followed after its end":  {path: "/api/logs/stream" + dns + "&pod=dns-old", token: "admin", want: 409},
		// It has the label, which anybody may write, but no run of the check made it.
		"of another's pod":  {path: "/api/logs" + dns + "&pod=other&format=text", token: "admin", want: 403, wantBody: "pod other is none of HealthCheck kuberhealthy/dns"},
		"of no pod":         {path: "/api/logs" + dns + "&pod=gone&format=text", token: "admin", want: 404},
		"without a pod":     {path: "/api/logs" + dns + "&format=text", token: "admin", want: 400},
		"without a check":   {path: "/api/logs?namespace=kuberhealthy&healthcheck=gone&pod=dns-pod&format=text", token: "admin", want: 404},
		"without a token":   {path: "/api/logs" + dns + "&pod=dns-pod&format=text", want: 401},
		"without the right": {path: "/api/logs" + dns + "&pod=dns-pod&format=text", token: "nobody", want: 403, wantBody: "get pods/log dns-pod in namespace kuberhealthy"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.log = "it works\n"
			options := w.options()
			options.Clock = clock.RealClock{} // a stream's time is that of its connection
			got := get(t, serve(t, options), tc.path, tc.token)
			if got.status != tc.want || !strings.Contains(got.body, tc.wantBody) {
				t.Errorf("answered %d %q, want %d %q", got.status, got.body, tc.want, tc.wantBody)
			}
		})
	}
}

func TestLogsTellNoToken(t *testing.T) {
	w := newWorld()
	// Once within what is read at once, and once wherever what is read may be cut.
	w.log = "reporting as " + runID + "\n" + strings.Repeat("x", 32<<10-40) + runID + "\n" + runID[:20]
	got := get(t, serve(t, w.options()), "/api/logs"+dns+"&pod=dns-pod&format=text", "admin")
	if strings.Contains(got.body, runID) || strings.Count(got.body, "[redacted]") != 2 {
		t.Errorf("the log tells the token, or not what is around it: %.200q", got.body)
	}
	if !strings.HasSuffix(got.body, "\n"+runID[:20]) {
		t.Errorf("the log's end is missing: %.200q", got.body[len(got.body)-60:])
	}
}
