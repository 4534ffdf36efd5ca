package kubelet_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ours "github.com/maek-dev/maek/internal/probe"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	"k8s.io/kubernetes/pkg/kubelet/util/format"
	"k8s.io/kubernetes/pkg/probe"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
)

// asked is what goes over the wire of a request, as far as the spec decides it.
type asked struct {
	URL, Host string
	Header    map[string][]string
	Err       string
}

func TestRequests(t *testing.T) {
	t.Parallel()
	all := 0
	for seed := range uint64(20_000) {
		lots := rand.New(rand.NewPCG(seed, 1))
		at := site()
		at.Pod.Status.PodIP = pick(lots, "10.1.2.3", "fd00::5", "127.0.0.1", "")
		at.Container.Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}, {Name: "none"}, {Name: "web", ContainerPort: 9090}, {Name: "8"}}
		get := randomGet(lots)

		var theirs asked
		request, err := httpprobe.NewRequestForHTTPGetAction(get.DeepCopy(), at.Container, at.Pod.Status.PodIP, "probe")
		if err != nil {
			theirs.Err = err.Error()
		} else {
			theirs = asked{URL: request.URL.String(), Host: request.Host, Header: request.Header}
		}
		var maek asked
		switch target := ours.Resolve(&corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}}, at).(type) {
		case ours.HTTP:
			maek = asked{URL: target.URL.String(), Host: target.Host, Header: target.Header}
		case ours.Impossible:
			maek.Err = target.Err.Error()
		}
		if diff := cmp.Diff(theirs, maek); diff != "" {
			t.Fatalf("for %+v (-kubelet +maek):\n%s", get, diff)
		}
		all++
	}
	t.Logf("agreement on requests: %d of %d", all, all)
}

func pick[T any](lots *rand.Rand, from ...T) T { return from[lots.IntN(len(from))] }

// glue makes a text of pieces that parsers stumble over.
func glue(lots *rand.Rand, pieces ...string) string {
	var text strings.Builder
	for range lots.IntN(6) {
		text.WriteString(pick(lots, pieces...))
	}
	return text.String()
}

func randomPort(lots *rand.Rand) intstr.IntOrString {
	return pick(lots,
		intstr.FromInt32(80), intstr.FromInt32(0), intstr.FromInt32(-1), intstr.FromInt32(65535), intstr.FromInt32(65536),
		intstr.FromString("web"), intstr.FromString("none"), intstr.FromString("nope"), intstr.FromString(""), intstr.FromString("8"),
		intstr.FromString("443"), intstr.FromString("99999"), intstr.FromString("0x50"), intstr.FromString(" 80"),
		intstr.FromString("99999999999999999999"))
}

func randomGet(lots *rand.Rand) *corev1.HTTPGetAction {
	get := &corev1.HTTPGetAction{
		Path: glue(lots, "/", "//", "healthz", "?", "a=b&c", "#frag", "%", "%2F", "%zz", ":", "mailto:x", "http://evil/x", " ", "\x7f", "é", "..", ";", "[", "@", "\\", "*"),
		Port: randomPort(lots),
		Host: pick(lots, "", "", "", "example.org", "::1", "fe80::1%eth0", "a b", "[::1]", "user@host", "exa%mple", "x/y"),
		Scheme: pick(lots, "", corev1.URISchemeHTTP, corev1.URISchemeHTTPS, corev1.URIScheme("http"), corev1.URIScheme("fTp"),
			corev1.URIScheme("1x"), corev1.URIScheme("a b")),
	}
	for range lots.IntN(5) {
		get.HTTPHeaders = append(get.HTTPHeaders, corev1.HTTPHeader{
			Name:  pick(lots, "User-Agent", "user-agent", "ACCEPT", "Accept", "Host", "hOst", "X-A", "x-a", "a b", "", "Connection", "Content-Length"),
			Value: pick(lots, "", "a", "b", "text/html", "a\r\nb: c", "example.org:8080"),
		})
	}
	return get
}

func TestPorts(t *testing.T) {
	t.Parallel()
	container := &corev1.Container{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}, {Name: "none"}, {Name: "8", ContainerPort: 90}}}
	for seed := range uint64(200) {
		port := randomPort(rand.New(rand.NewPCG(seed, 2)))
		theirs, theirErr := probe.ResolveContainerPort(port, container)
		maek, err := ours.ResolvePort(port, container)
		if fmt.Sprint(theirErr) != fmt.Sprint(err) || (err == nil && theirs != maek) {
			t.Errorf("port %q: the kubelet's %d, %v; here %d, %v", port.String(), theirs, theirErr, maek, err)
		}
	}
}

func TestVariablesOfCommands(t *testing.T) {
	t.Parallel()
	env := []corev1.EnvVar{
		{Name: "A", Value: "1"},
		{Name: "B", Value: "$(A)"},
		{Name: "A", Value: "2"},
		{Name: "", Value: "empty"},
		{Name: "FROM", ValueFrom: &corev1.EnvVarSource{}},
		{Name: "a b", Value: "spaced"},
	}
	all := 0
	for seed := range uint64(20_000) {
		lots := rand.New(rand.NewPCG(seed, 3))
		var command []string
		for range lots.IntN(3) {
			command = append(command, glue(lots, "$", "$$", "$(", "(", ")", "A", "$(A)", "$(B)", "$(FROM)", "$(NONE)", "$$(A)", "$()", "$(a b)", "é", "\xff", " x"))
		}
		at := site()
		at.Container.Env = env
		theirs := kubecontainer.ExpandContainerCommandOnlyStatic(command, env)
		target := ours.Resolve(&corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: command}}}, at)
		if maek := target.(ours.Exec).Command; !reflect.DeepEqual(theirs, maek) {
			t.Fatalf("%q: the kubelet's %q, here %q", command, theirs, maek)
		}
		all++
	}
	t.Logf("agreement on commands: %d of %d", all, all)
}

func TestProbeWithoutHandler(t *testing.T) {
	t.Parallel()
	at := site()
	at.Pod.Name, at.Pod.Namespace, at.Pod.UID = "web-0", "shop", types.UID("1234")
	target := ours.Resolve(&corev1.Probe{}, at)
	want := fmt.Sprintf("missing probe handler for %s:%s", format.Pod(at.Pod), at.Container.Name)
	if impossible, ok := target.(ours.Impossible); !ok || impossible.Err.Error() != want {
		t.Errorf("%v, want %s", target, want)
	}
}
