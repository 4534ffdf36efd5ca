package checkobjects

import (
	"fmt"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// TestRestartOfTheAPIServer stops the API server and starts it again upon the same data and port: runs go on
// meanwhile, what changed is written afterwards and no more than that, and watches come back.
func TestRestartOfTheAPIServer(t *testing.T) {
	// What does not stop at once is killed: that is the harder case.
	env := &envtest.Environment{CRDDirectoryPaths: []string{definitions}, ErrorIfCRDPathMissing: true, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Second}
	server := env.ControlPlane.GetAPIServer()
	server.CertDir = t.TempDir() // so that it has the same certificate afterwards
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Log(err)
		}
	})
	config.QPS = -1
	c := newClient(t, config)
	namespace := newNamespace(t, c)
	steady, turning := serve(t), serve(t)
	steady.ill.Store(true)
	r := start(t, config, namespace, "a", nil)
	const checks = 40
	var stay, turn []types.NamespacedName
	for i := range checks {
		stay = append(stay, create(t, c, steady.newCheck(namespace, fmt.Sprintf("steady-%02d", i))))
	}
	for i := range 3 {
		turn = append(turn, create(t, c, turning.newCheck(namespace, fmt.Sprintf("turning-%d", i))))
	}
	before := map[types.NamespacedName]v1alpha1.CheckStatus{}
	for _, name := range stay {
		before[name] = waitForConditions(t, c, name, red, time.Minute)
	}
	for _, name := range turn {
		waitForConditions(t, c, name, green, time.Minute)
	}
	waitFor(t, "there is an Event of each that fails", time.Minute, func() bool { return r.requests.count("POST event") >= checks })
	if err := server.Stop(); err != nil {
		t.Log(err)
	}
	asked := steady.asked.Load()
	turning.ill.Store(true)
	waitFor(t, "runs go on", time.Minute, func() bool { return steady.asked.Load() >= asked+3*checks })
	waitFor(t, "verdicts are known", time.Minute, func() bool {
		for _, name := range turn {
			if value, found := r.healthy(t, name.Name); !found || value != 0 {
				return false
			}
		}
		return true
	})
	written := r.requests.count("PUT status")
	// It may still have its port when it is killed.
	waitFor(t, "the API server is back", 2*time.Minute, func() bool { return server.Start() == nil })
	for _, name := range turn {
		if status := waitForConditions(t, c, name, red, time.Minute); len(status.Transitions) != 2 {
			t.Errorf("%s has the transitions %+v", name.Name, status.Transitions)
		}
	}
	// What is made now is heard of by a watch.
	waitForConditions(t, c, create(t, c, turning.newCheck(namespace, "late")), red, time.Minute)
	for _, name := range stay {
		status := statusOf(t, c, name)
		if conditions(status) != red || len(status.Transitions) != len(before[name].Transitions) || !status.Transitions[0].At.Equal(&before[name].Transitions[0].At) {
			t.Errorf("%s was %+v, and is %+v", name.Name, before[name].Transitions, status.Transitions)
		}
	}
	// Those that turned, the new one from its first status to its verdict, and what is tried again: not all of them.
	if n := r.requests.count("PUT status") - written; n > checks/2 {
		t.Errorf("%d statuses were written when the API server came back", n)
	}
	toldOnce(t, c, namespace)
}

// toldOnce holds that no Event of a namespace's Checks was made twice.
func toldOnce(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	var told eventsv1.EventList
	if err := c.List(t.Context(), &told, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range told.Items {
		seen[e.Regarding.Name+" "+e.Reason]++
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%d Events: %s", n, what)
		}
	}
}
