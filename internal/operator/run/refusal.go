package run

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// refusal is what the API server has against a pod; false where the error says nothing about the pod.
// What may pass by itself is tried again, from a time on for a minute or the run's timeout.
func refusal(err error, from time.Time, timeout time.Duration) (trouble, bool) {
	t := trouble{message: err.Error()}
	switch checkerpod.ObjectionOf(err) {
	case checkerpod.NoObjection:
		return trouble{}, false
	case checkerpod.Refused:
		t.refused = true
	case checkerpod.MayPass:
		t.giveUp = from.Add(min(timeout, checkerpod.PassesWithin))
	case checkerpod.NotAsked:
	}
	return t, true
}

// outdated tells that a request was made in view of something that has changed since.
func outdated(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// unstored tells that what could not be written should be written again.
func unstored(err error) bool { return checkerpod.Unanswered(err) || checkerpod.WebhookFailed(err) }
