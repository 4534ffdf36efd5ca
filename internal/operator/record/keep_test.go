package record

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
)

// TestReplicasShareThePace holds that all replicas together write no faster than one alone, and checkpoint no
// more often.
func TestReplicasShareThePace(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		t.Run(strconv.Itoa(replicas), func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			k := New(Options{Owns: func(types.UID) bool { return true }, Replicas: func() int { return replicas }, Clock: clock})
			const checks = 3000
			for i := range checks {
				k.Ended(Run{Check: Check{UID: types.UID(strconv.Itoa(i))}, Run: history.Run{Ended: clock.Now(), Result: v1alpha1.ResultSuccess}})
			}
			if want := time.Duration(checks*replicas/checkpointsPerSecond) * time.Second; k.checkpointEvery() != want {
				t.Errorf("checkpoints of %d checks every %v, want %v", checks, k.checkpointEvery(), want)
			}
			written := 0
			take := func() {
				uids, _ := k.due(clock.Now())
				for _, uid := range uids {
					k.entries[uid].unwritten = nil
				}
				written += len(uids)
			}
			take()
			written = 0 // what goes at once
			for range 60 {
				clock.Step(time.Second)
				take()
			}
			if most, least := writesPerSecond*60, writesPerSecond*60-60; written*replicas > most || written*replicas < least {
				t.Errorf("%d replicas write %d records in a minute, want %d to %d", replicas, written*replicas, least, most)
			}
		})
	}
}

// TestDeletedChecksWaitForNoTurn deletes many checks whose last runs are in no record, beside one that stays.
func TestDeletedChecksWaitForNoTurn(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var requests []string
	api := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			requests = append(requests, "get "+key.Name)
			return c.Get(ctx, key, o, options...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			requests = append(requests, "create "+o.GetName())
			return c.Create(ctx, o, options...)
		},
	})
	clock := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	k := New(Options{
		Client: api, Served: func() bool { return true }, Owns: func(types.UID) bool { return true }, Replicas: func() int { return 1 },
		Exists: func(_ context.Context, c Check) bool { return c.UID == "stays" }, Self: "a", Clock: clock, Log: slog.New(slog.DiscardHandler),
	})
	names := []string{"stays"}
	for i := range 10_000 {
		names = append(names, "gone-"+strconv.Itoa(i))
	}
	for _, name := range names {
		k.Ended(Run{
			Check: Check{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Check", NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}, UID: types.UID(name)},
			Run:   history.Run{Ended: clock.Now(), Result: v1alpha1.ResultSuccess},
		})
	}
	k.write(t.Context(), k.due)
	if k.Len() != 1 {
		t.Errorf("%d checks are kept, want the one that stays", k.Len())
	}
	if diff := cmp.Diff([]string{"get check-stays", "create check-stays"}, requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}
