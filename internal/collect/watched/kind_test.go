package watched

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/snapshot"
)

func TestHowLongAKindIsWaitedFor(t *testing.T) {
	later := apierrors.NewTooManyRequests("storage is (re)initializing", 1)
	down := errors.New("connection refused")
	tests := map[string]struct {
		// errs are what reading fails with, each so long after the first.
		errs        map[time.Duration]error
		read        bool
		wantSettled bool
		wantState   snapshot.State
	}{
		"the API server makes ready":                 {map[time.Duration]error{0: later, busy / 2: later}, false, false, snapshot.Failed},
		"the API server makes ready and never is":    {map[time.Duration]error{0: later, busy: later}, false, true, snapshot.Failed},
		"the API server does not answer":             {map[time.Duration]error{0: down}, false, true, snapshot.Failed},
		"the API server makes ready and has it then": {map[time.Duration]error{0: later}, true, true, snapshot.Complete},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			now := moment
			w, err := New(&rest.Config{Host: "https://127.0.0.1:1"}, []snapshot.Kind{snapshot.KindOf[*corev1.Pod]()}, Options{
				Name: "test", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
			})
			if err != nil {
				t.Fatal(err)
			}
			k := w.kinds[0]
			for _, after := range []time.Duration{0, busy / 2, busy} {
				if err := tc.errs[after]; err != nil {
					now = moment.Add(after)
					k.failed(t.Context(), err)
				}
			}
			if tc.read {
				k.replaced()
			}
			if _, c := k.read(now); k.settled() != tc.wantSettled || c.State != tc.wantState {
				t.Errorf("settled %v and %s (%s), want %v and %s", k.settled(), c.State, c.Reason, tc.wantSettled, tc.wantState)
			}
		})
	}
}

func TestAKindWhoseStreamBrokeIsAsItWasForAWhile(t *testing.T) {
	now := moment
	w, err := New(&rest.Config{Host: "https://127.0.0.1:1"}, []snapshot.Kind{snapshot.KindOf[*corev1.Pod]()}, Options{
		Name: "test", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	k := w.kinds[0]
	if err := k.store.Replace([]any{pod("a")}, "1"); err != nil {
		t.Fatal(err)
	}
	broke := moment.Add(time.Minute)
	now = broke
	k.failed(t.Context(), errors.New("connection refused"))
	now = broke.Add(grace - time.Second)
	if table, c := k.read(now); table.Len() != 1 || c.State != snapshot.Complete || !c.ReadAt.Equal(broke) {
		t.Errorf("shortly after there are %d objects, %+v", table.Len(), c)
	}
	now = broke.Add(grace)
	k.failed(t.Context(), errors.New("connection refused"))
	if table, c := k.read(now); table.Len() != 0 || c.State != snapshot.Failed {
		t.Errorf("later there are %d objects, %+v", table.Len(), c)
	}
	k.current()
	if table, c := k.read(now); table.Len() != 1 || c.State != snapshot.Complete || !c.ReadAt.Equal(now) {
		t.Errorf("when it is followed again there are %d objects, %+v", table.Len(), c)
	}
}
