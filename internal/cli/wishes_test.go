package cli

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
)

func TestWhatTheReportIsConfinedTo(t *testing.T) {
	broken := map[string]bool{"cp1": true, "w1": false}
	ignoreNode := file(t, "ignore.yaml", "ignore:\n- code: NodeGone\n  subject: {kind: Node, name: w*}\n  until: 2026-12-31\n  reason: being repaired\n")
	ended := file(t, "ended.yaml", "ignore: [{code: NodeGone, until: 2026-03-01}]\n")
	cases := map[string]struct {
		args []string
		want exit.Code
		has  []string
		lack []string
	}{
		"a request to ignore the node quiets what it explains too": {
			args: []string{"--ignore", ignoreNode}, want: exit.OK, has: []string{"ignored on request: 1"}, lack: []string{"NodeGone", "cart-1"},
		},
		"a request that has ended": {
			args: []string{"--ignore", ended}, want: exit.Incidents, has: []string{"NodeGone"}, lack: []string{"ignored on request"},
		},
		"labels that a pod of the incident carries": {
			args: []string{"-l", "app=cart"}, want: exit.Incidents, has: []string{"NodeGone", "app=cart"},
		},
		"labels that nothing in trouble carries": {
			args: []string{"-l", "app=none"}, want: exit.OK, has: []string{"1 incident elsewhere in the cluster"}, lack: []string{"NodeGone"},
		},
		"the time line": {
			args: []string{"--events"}, want: exit.Incidents, has: []string{"What happened", "✗ node w1 is gone"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := run(t, t.Context(), append(tc.args, "--kubeconfig", serve(t, cluster(broken, "cart-1")))...)
			if got.code != tc.want {
				t.Errorf("exit code %d, want %d; %s", got.code, tc.want, got.errOut)
			}
			for _, s := range tc.has {
				if !strings.Contains(got.out, s) {
					t.Errorf("it lacks %q:\n%s", s, got.out)
				}
			}
			for _, s := range tc.lack {
				if strings.Contains(got.out, s) {
					t.Errorf("it has %q:\n%s", s, got.out)
				}
			}
		})
	}
}

func TestDiff(t *testing.T) {
	sick := serve(t, cluster(map[string]bool{"cp1": true, "w1": false}))
	healed := serve(t, cluster(map[string]bool{"cp1": true, "w1": true}, "cart-1"))
	earlier := file(t, "earlier.json", run(t, t.Context(), "--kubeconfig", sick, "-o", "json").out)

	same := run(t, t.Context(), "--kubeconfig", sick, "--diff", earlier, "--fail-on-new")
	if same.code != exit.OK || !strings.Contains(same.out, "0 new, 0 gone, 1 still there") {
		t.Errorf("nothing new: exit code %d\n%s", same.code, same.out)
	}
	other := run(t, t.Context(), "--kubeconfig", healed, "--diff", earlier, "--fail-on-new")
	if other.code != exit.Incidents || !strings.Contains(other.out, "1 new, 1 gone, 0 still there") || !strings.Contains(other.out, "✓ gone  node w1 is gone") {
		t.Errorf("one new, one gone: exit code %d\n%s", other.code, other.out)
	}
}

func TestWatchSpeaksWhenSomethingChanges(t *testing.T) {
	var served atomic.Pointer[apiServer]
	served.Store(cluster(map[string]bool{"cp1": true, "w1": true}))
	config := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.Load().ServeHTTP(w, r) }))
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	got := runIn(t, ctx, func(inv *invocation.Invocation) {
		inv.After = func(d time.Duration) <-chan time.Time {
			if d != 7*time.Second {
				t.Errorf("it waits %s, want 7s", d)
			}
			looks++
			switch looks {
			case 2: // the first two looks see the same
				served.Store(cluster(map[string]bool{"cp1": true, "w1": false}))
			case 3:
				cancel()
			}
			c := make(chan time.Time, 1)
			if looks < 3 {
				c <- moment
			}
			return c
		}
	}, "--watch", "--interval", "7s", "--kubeconfig", config)
	if got.code != exit.Incidents {
		t.Errorf("exit code %d, want that of the last look, %d; %s", got.code, exit.Incidents, got.errOut)
	}
	if n := strings.Count(got.out, "looked at"); n != 2 {
		t.Errorf("%d reports, want one at first and one when the node is gone:\n%s", n, got.out)
	}
}

func TestWatchOutlivesWhatKeepsItFromLooking(t *testing.T) {
	sick := cluster(map[string]bool{"cp1": true, "w1": false})
	silent := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "etcdserver: no leader")
	})
	// Nobody can look into a namespace that is gone.
	empty := cluster(map[string]bool{"cp1": true, "w1": false})
	empty.lists["/api/v1/namespaces"] = corev1.NamespaceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"}}
	for name, tc := range map[string]struct {
		broken     http.Handler
		args       []string
		want       exit.Code
		out, lacks string
		errOut     string
	}{
		"an API server that answers no list is told, and what it hides is neither gone nor new": {
			broken: silent, want: exit.Incidents, out: "? not checked this time  node w1 is gone", lacks: "✓ gone  node w1",
		},
		"a namespace that is not there for a while is told": {
			broken: empty, args: []string{"-n", "shop"}, want: exit.OK, errOut: `there is no namespace "shop"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var served atomic.Pointer[http.Handler]
			serveNow := func(h http.Handler) { served.Store(&h) }
			serveNow(sick)
			config := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*served.Load()).ServeHTTP(w, r) }))
			ctx, cancel := context.WithCancel(t.Context())
			looks := 0
			got := runIn(t, ctx, func(inv *invocation.Invocation) {
				inv.After = func(time.Duration) <-chan time.Time {
					c := make(chan time.Time, 1)
					switch looks++; looks {
					case 1:
						serveNow(tc.broken)
						c <- moment
					case 2:
						serveNow(sick)
						c <- moment
					default:
						cancel()
					}
					return c
				}
			}, append(tc.args, "--watch", "--kubeconfig", config)...)
			if got.code != tc.want || looks != 3 {
				t.Errorf("exit code %d after %d looks, want %d after 3; %s", got.code, looks, tc.want, got.errOut)
			}
			if !strings.Contains(got.out, tc.out) || tc.lacks != "" && strings.Contains(got.out, tc.lacks) || !strings.Contains(got.errOut, tc.errOut) {
				t.Errorf("want %q and not %q in:\n%s\nand %q in:\n%s", tc.out, tc.lacks, got.out, tc.errOut, got.errOut)
			}
		})
	}
}

func TestResilience(t *testing.T) {
	config := serve(t, cluster(map[string]bool{"cp1": true, "w1": true}))
	for name, tc := range map[string]struct {
		args []string
		want exit.Code
		has  string
	}{
		"for people":    {nil, exit.OK, "!  nothing stands in for node cp1"},
		"for programs":  {[]string{"-o", "json"}, exit.OK, `"kind": "Resilience"`},
		"for a ticket":  {[]string{"-o", "markdown"}, exit.OK, "### nothing stands in for node cp1"},
		"for nobody":    {[]string{"-o", "junit"}, exit.Usage, `-o "junit" is no output; write one of: terminal, json, yaml, markdown`},
		"one namespace": {[]string{"-n", "shop"}, exit.OK, "Nothing was found that one loss would take"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, t.Context(), append(append([]string{"resilience"}, tc.args...), "--kubeconfig", config)...)
			if got.code != tc.want || !strings.Contains(got.out+got.errOut, tc.has) {
				t.Errorf("exit code %d, want %d and %q in:\n%s%s", got.code, tc.want, tc.has, got.out, got.errOut)
			}
		})
	}
}
