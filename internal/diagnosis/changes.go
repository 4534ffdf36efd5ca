package diagnosis

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Compare tells what differs in a diagnosis from an earlier one. The scope of the two is the
// caller's to keep alike. What the rule that found it could not look for this time is not called gone.
func Compare(earlier, now v1alpha1.Diagnosis) *v1alpha1.Changes {
	c := &v1alpha1.Changes{Since: earlier.ObservedAt, New: []string{}, Still: []string{}, Gone: []v1alpha1.IncidentDetails{}}
	was := func(id string) func(v1alpha1.IncidentDetails) bool {
		return func(i v1alpha1.IncidentDetails) bool { return i.ID == id }
	}
	for _, i := range now.Incidents {
		if slices.ContainsFunc(earlier.Incidents, was(i.ID)) {
			c.Still = append(c.Still, i.ID)
		} else {
			c.New = append(c.New, i.ID)
		}
	}
	blind := map[string]bool{}
	for _, s := range slices.Concat(now.Skipped, now.Errors) {
		blind[s.Code] = true
	}
	for _, i := range earlier.Incidents {
		switch {
		case slices.ContainsFunc(now.Incidents, was(i.ID)):
		case blind[i.Code]:
			c.Unseen = append(c.Unseen, i)
		default:
			c.Gone = append(c.Gone, i)
		}
	}
	return c
}
