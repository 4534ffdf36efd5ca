package config

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// makersTold is how many custom resources one finding names.
const makersTold = 3

// makersOf finds the custom resources that should bring an object about: what they write is not among
// what is read of them, and mostly has their own name.
func makersOf(p *rule.Pass, object finding.Subject) []*snapshot.CustomResource {
	var out []*snapshot.CustomResource
	for _, r := range p.CustomResources() {
		if (r.Namespace == object.Namespace || r.Namespace == "") && slices.Contains(writes(r, object.Kind), object.Name) {
			out = append(out, r)
		}
	}
	return out[:min(len(out), makersTold)]
}

// writes names the objects of a kind that a custom resource may write: those of cert-manager's
// Certificates and trust-manager's Bundles, and of whatever is named for what it writes (ExternalSecret,
// SealedSecret, VaultStaticSecret, SopsSecret).
func writes(r *snapshot.CustomResource, kind string) []string {
	switch {
	case kind == kindSecret && r.Kind.Kind == "Certificate":
		// Nothing says so, but a Certificate's Secret is mostly named with or without this ending.
		return []string{r.Name, r.Name + "-tls", strings.TrimSuffix(r.Name, "-tls"), strings.TrimSuffix(r.Name, "-cert") + "-tls"}
	case kind == kindConfigMap && r.Kind.Kind == "Bundle", strings.HasSuffix(r.Kind.Kind, kind):
		return []string{r.Name}
	default:
		return nil
	}
}

// blameMakers adds to a finding which custom resource should have brought the missing object about, and
// how its controller is doing.
func blameMakers(p *rule.Pass, f *finding.Finding) finding.Text {
	var all []finding.Text
	for _, r := range makersOf(p, f.Subject) {
		subject := r.Subject()
		f.WaitsFor = append(f.WaitsFor, subject)
		ready := readiness(r)
		switch {
		case ready == nil:
			all = append(all, finding.Textf("%s should make it", "%s가 만들어야 합니다", finding.Named(subject)))
		case ready.Status == metav1.ConditionTrue:
			all = append(all, finding.Textf("%s should make it and says that it is %s", "%s가 만들어야 하며 상태는 %s입니다", finding.Named(subject), ready.Type))
		default:
			all = append(all, finding.Join(": ",
				finding.Textf("%s should make it and is not %s since %s (%s)", "%s가 만들어야 하지만 %[3]s부터 %[2]s가 아닙니다(%[4]s)", finding.Named(subject), ready.Type,
					finding.Clock(p.Now(), ready.LastTransitionTime.Time), ready.Reason),
				finding.Verbatim("\""+finding.Quote(ready.Message)+"\"")))
		}
		if ready != nil {
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: finding.Named(subject), Path: ".status.conditions[" + ready.Type + "]", Value: finding.Quote(string(ready.Status) + " " + ready.Reason + " " + ready.Message),
				At: finding.Timestamp(ready.LastTransitionTime.Time),
			})
		}
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Textf("see why %s does not make it", "%s가 만들지 못하는 이유를 확인합니다", finding.Named(subject)),
			Command: describe(r),
		})
	}
	return finding.Join("; ", all...)
}

// readiness is the condition that tells whether a controller did its work; nil where there is none.
func readiness(r *snapshot.CustomResource) *metav1.Condition {
	for _, t := range []string{"Ready", "Synced", "SecretSynced"} {
		for i := range r.Conditions {
			if r.Conditions[i].Type == t {
				return &r.Conditions[i]
			}
		}
	}
	return nil
}

func describe(r *snapshot.CustomResource) string {
	name := r.Kind.GroupResource() + " " + r.Name
	if r.Namespace == "" {
		return "kubectl describe " + name
	}
	return "kubectl -n " + r.Namespace + " describe " + name
}
