package workload

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestJudgeProbe(t *testing.T) {
	httpGet := func(port int32) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(port)}}}
	}
	exec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"check"}}}}
	declares8080 := []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	const refused = `Get "http://10.244.1.5/": dial tcp 10.244.1.5: connect: connection refused`
	for name, tc := range map[string]struct {
		probe       *corev1.Probe
		ports       []corev1.ContainerPort
		message     string
		heard       string
		wrong, sure bool
		field       string
	}{
		"a port that nobody declares refuses":                     {httpGet(9090), declares8080, refused, "", true, false, ".httpGet.port"},
		"a declared port refuses: the program may be late":        {httpGet(8080), declares8080, refused, "", false, false, ""},
		"no port is declared, and nothing is known":               {httpGet(9090), nil, refused, "", false, false, ""},
		"the program says that it listens elsewhere":              {httpGet(9090), nil, refused, "8080", true, true, ".httpGet.port"},
		"it listens where the probe asks":                         {httpGet(8080), nil, refused, "8080", false, false, ""},
		"it also listens on a metrics port":                       {httpGet(8080), declares8080, refused, "9100", false, false, ""},
		"a named port does not exist":                             {httpGet(0), nil, "couldn't find port: web", "", true, true, ".httpGet.port"},
		"a path that is not there":                                {httpGet(8080), declares8080, "HTTP probe failed with statuscode: 404", "", true, false, ".httpGet.path"},
		"credentials are wanted":                                  {httpGet(8080), declares8080, "HTTP probe failed with statuscode: 401", "", true, false, ".httpGet"},
		"the program is not well":                                 {httpGet(8080), declares8080, "HTTP probe failed with statuscode: 503", "", false, false, ""},
		"the program is slow":                                     {httpGet(8080), declares8080, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)", "", false, false, ".timeoutSeconds"},
		"HTTPS to a program that speaks HTTP":                     {httpGet(8080), declares8080, "http: server gave HTTP response to HTTPS client", "", true, false, ".httpGet.scheme"},
		"a command that is not there":                             {exec, nil, `exec: "check": executable file not found in $PATH`, "", true, true, ".exec.command"},
		"a command that fails, and says what refuses is not ours": {exec, nil, "wget: can't connect to remote host: Connection refused", "", false, false, ""},
		"no event is left":                                        {httpGet(8080), declares8080, "", "", false, false, ""},
		"no probe is known":                                       {nil, nil, refused, "", false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := judgeProbe(&corev1.Container{Ports: tc.ports}, tc.probe, tc.message, tc.heard)
			if v.wrong != tc.wrong || v.sure != tc.sure || v.field != tc.field {
				t.Errorf("wrong %v, sure %v, field %q; want %v, %v, %q (%s)", v.wrong, v.sure, v.field, tc.wrong, tc.sure, tc.field, v.says.EN)
			}
			if (v.says.EN == "") != (v.says.KO == "") {
				t.Error("a language is lacking")
			}
		})
	}
}

func TestListensOn(t *testing.T) {
	for log, want := range map[string]string{
		"2026/03/02 02:17:58 listening on :8080":           "8080",
		"INFO: Uvicorn running\nServing on http://[::]:80": "80",
		"Server listening at 0.0.0.0:3000":                 "3000",
		"connected to db:5432":                             "",
		"":                                                 "",
	} {
		if got := listensOn(log); got != want {
			t.Errorf("%q listens on %q, want %q", log, got, want)
		}
	}
}
