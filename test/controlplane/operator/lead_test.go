package operator

import (
	"strings"
	"testing"
	"time"

	maek "github.com/maek-dev/maek/internal/operator"
	"github.com/maek-dev/maek/internal/rules"
)

// TestOneReplicaDiagnoses stops the replica that diagnoses, and takes the API server from the next for
// longer than a lead lasts: whoever lost the lead campaigns again.
func TestOneReplicaDiagnoses(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	withRules := func(o *maek.Options) { o.Rules = rules.All() }
	diagnoses := func(r *replica) int { return strings.Count(r.log.String(), "this replica diagnoses the cluster") }
	a := start(t, admin, namespace, "a", withRules)
	waitFor(t, "the first replica diagnoses", 30*time.Second, func() bool { return diagnoses(a) == 1 })
	b := start(t, admin, namespace, "b", withRules)
	waitFor(t, "the second replica works", 30*time.Second, func() bool { return b.op.Standing().Able })
	if diagnoses(b) != 0 {
		t.Error("both replicas diagnose")
	}
	a.stop()
	<-a.ended
	waitFor(t, "the lead was given away", 10*time.Second, func() bool { return diagnoses(b) == 1 })
	b.wire.Cut()
	waitFor(t, "the lead is lost", 30*time.Second, func() bool { return strings.Contains(b.log.String(), "this replica diagnoses no longer") })
	b.wire.Mend()
	waitFor(t, "it campaigns again", 40*time.Second, func() bool { return diagnoses(b) == 2 })
}
