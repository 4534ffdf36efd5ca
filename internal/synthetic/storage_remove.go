package synthetic

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// remove deletes the Jobs and then the claim, and waits until they and, where it is to be deleted with
// its claim, the volume are gone.
func (v *volumeRun) remove(ctx context.Context, r *Result) bool {
	began := v.env.Clock.Now()
	for _, job := range v.made {
		if err := v.stage.Remove(ctx, job); err != nil {
			r.Errors = append(r.Errors, err.Error())
			return false
		}
	}
	if err := v.views.Until(ctx, 0, func() (bool, error) { return len(v.pods.All()) == 0, nil }); err != nil {
		var left []string
		for _, p := range v.pods.All() {
			left = append(left, p.Name)
		}
		r.Errors = append(r.Errors, fmt.Sprintf("pods were still there when %s, though their Jobs were deleted %s before: %s",
			cutShort(err, v.views), v.env.Clock.Since(began).Round(time.Second), names(left)))
		return false
	}
	if err := v.stage.Remove(ctx, v.claim); err != nil {
		r.Errors = append(r.Errors, err.Error())
		return false
	}
	if err := v.views.Until(ctx, 0, func() (bool, error) { return v.claimNow() == nil, nil }); err != nil {
		r.Errors = append(r.Errors, fmt.Sprintf("claim %s/%s was still there when %s, though it was deleted and no pod uses it", v.claim.Namespace, v.claim.Name, cutShort(err, v.views)))
		return false
	}
	v.took.add("deleting the claim", v.env.Clock.Since(began))
	return v.removeVolume(ctx, r, began)
}

// removeVolume waits for the volume's end with a view of its own: only now is its name known for
// certain.
func (v *volumeRun) removeVolume(ctx context.Context, r *Result, began time.Time) bool {
	if v.volume == "" {
		return true
	}
	watching, stop := context.WithCancel(ctx)
	views := stage.NewViews(v.env.Client, v.env.Clock)
	defer views.Wait()
	defer stop()
	volumes := stage.ObserveIfAllowed[*corev1.PersistentVolume](watching, views, &corev1.PersistentVolumeList{},
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", v.volume)})
	var last *corev1.PersistentVolume
	err := views.Until(ctx, 0, func() (bool, error) {
		last = nil
		for _, pv := range volumes.All() {
			if pv.Name == v.volume {
				last = pv
			}
		}
		return last == nil || last.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete, nil
	})
	switch {
	case volumes.Denied() != nil:
		r.Notes = append(r.Notes, fmt.Sprintf("whether volume %s was deleted with its claim is not known: PersistentVolumes may not be listed", v.volume))
	case err != nil:
		text := fmt.Sprintf("volume %s was still there when %s, though its claim is gone", v.volume, cutShort(err, views))
		if last != nil {
			asking, done := explaining(ctx, v.env)
			defer done()
			text += ": it is " + string(last.Status.Phase)
			if word := stage.LastWord(asking, v.env.Client, last); word != "" {
				text += ": " + word
			}
		}
		r.Errors = append(r.Errors, text)
		return false
	case last != nil:
		r.Notes = append(r.Notes, fmt.Sprintf("volume %s stays, as its reclaim policy is %s: somebody has to delete it", v.volume, last.Spec.PersistentVolumeReclaimPolicy))
	default:
		v.took.add("deleting the volume", v.env.Clock.Since(began))
	}
	return true
}
