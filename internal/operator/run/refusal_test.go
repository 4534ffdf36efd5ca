package run

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

func TestWhatTheAPIServerHasAgainstAPod(t *testing.T) {
	t.Parallel()
	forbidden := func(why string) error {
		return apierrors.NewForbidden(corev1.Resource("pods"), "dns-1", errors.New(why))
	}
	webhook := func(code int32) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: code, Message: `admission webhook "policy.example.com" denied the request: no`,
		}}
	}
	const never, atOnce = time.Duration(-1), time.Duration(0)
	cases := map[string]struct {
		err     error
		timeout time.Duration
		// giveUp is how long it is tried again; never where no verdict is passed, atOnce for no second try,
		// and the timeout for until the deadline.
		giveUp time.Duration
	}{
		"Pod Security":                            {forbidden(`violates PodSecurity "restricted:latest"`), time.Hour, atOnce},
		"a PodSpec that is not valid":             {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "dns-1", nil), time.Hour, atOnce},
		"a webhook that says no":                  {webhook(http.StatusForbidden), time.Hour, atOnce},
		"a webhook that says later":               {webhook(http.StatusTooManyRequests), time.Hour, time.Hour},
		"a webhook that says that it is ill":      {webhook(http.StatusServiceUnavailable), time.Hour, time.Hour},
		"a webhook that does not answer":          {apierrors.NewInternalError(errors.New(`failed calling webhook "a": timeout`)), time.Hour, time.Hour},
		"a ServiceAccount that is not there":      {forbidden(`error looking up service account a/b: serviceaccount "b" not found`), time.Hour, time.Minute},
		"a quota that is used up":                 {forbidden("exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"), time.Hour, time.Minute},
		"the same of a check in a hurry":          {forbidden("exceeded quota: q"), 20 * time.Second, 20 * time.Second},
		"a quota that wants limits":               {forbidden("failed quota: q: must specify limits.cpu"), time.Hour, atOnce},
		"a namespace that is not known yet":       {apierrors.NewNotFound(corev1.Resource("namespaces"), "a"), time.Hour, time.Minute},
		"a namespace that is being deleted":       {terminatingNamespace(), time.Hour, never},
		"too many requests":                       {apierrors.NewTooManyRequests("later", 1), time.Hour, never},
		"an API server that is not available":     {apierrors.NewServiceUnavailable("no"), time.Hour, never},
		"an API server that does not answer":      {errors.New("connection refused"), time.Hour, never},
		"an API server that does not answer soon": {apierrors.NewTimeoutError("no", 1), time.Hour, never},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, judged := refusal(tc.err, began, tc.timeout)
			giveUp := tc.timeout
			switch {
			case !judged:
				giveUp = never
			case got.refused:
				giveUp = atOnce
			case !got.giveUp.IsZero():
				giveUp = got.giveUp.Sub(began)
			}
			if giveUp != tc.giveUp {
				t.Errorf("it is tried again for %s, want %s", giveUp, tc.giveUp)
			}
		})
	}
}

func terminatingNamespace() error {
	err := apierrors.NewForbidden(corev1.Resource("pods"), "dns-1", errors.New("because it is being terminated"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return err
}

// TestAWebhookIsNotTheAPIServer sees that what one webhook does not answer keeps nothing else from being
// written, and that a report which it kept from being stored is not lost.
func TestAWebhookIsNotTheAPIServer(t *testing.T) {
	t.Parallel()
	err := apierrors.NewInternalError(errors.New(`failed calling webhook "a": connection refused`))
	if checkerpod.Unanswered(err) || !unstored(err) {
		t.Errorf("unanswered %t and unstored %t, want false and true", checkerpod.Unanswered(err), unstored(err))
	}
	if other := apierrors.NewInternalError(errors.New("etcdserver: request timed out")); !checkerpod.Unanswered(other) || !unstored(other) {
		t.Errorf("of etcd: unanswered %t and unstored %t, want true and true", checkerpod.Unanswered(other), unstored(other))
	}
}

// A kind whose definition was deleted must not pass for an API server that is gone: all checks would stand still.
func TestAKindThatIsNotFollowedIsNoOutage(t *testing.T) {
	err := fmt.Errorf("reading KuberhealthyState ops/first from the cache: %w", &cache.ErrResourceNotCached{})
	if checkerpod.Unanswered(err) {
		t.Errorf("%v passes for an API server that does not answer", err)
	}
}
