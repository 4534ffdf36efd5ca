package checkobjects

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// TestManyChecksAtOnce makes as many Checks as a team may apply together, and waits until all say what they come to.
func TestFirstVerdictsOfMany(t *testing.T) {
	const checks = 300
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	r := start(t, admin, namespace, "a", nil)
	for i := range checks {
		check := server.newCheck(namespace, fmt.Sprintf("web-%d", i))
		check.Spec.PeriodSeconds = 30
		create(t, c, check)
	}
	made := time.Now()
	// At the pace of what changes, they would take 40 s and more after their first runs.
	waitFor(t, "all have a verdict", 3*time.Minute, func() bool {
		var all v1alpha1.CheckList
		if err := c.List(t.Context(), &all, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		done := 0
		for i := range all.Items {
			if strings.HasPrefix(conditions(all.Items[i].Status), "Ready=True/Running Healthy=True/Succeeded") {
				done++
			}
		}
		return done == checks
	})
	t.Logf("%d Checks had a verdict %v after they were made, with %d writes of statuses", checks, time.Since(made), r.requests.count("PUT status"))
	if n := r.requests.count("PUT status"); n > 2*checks+checks/10 {
		t.Errorf("%d writes for %d Checks", n, checks)
	}
}
