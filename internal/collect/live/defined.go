package live

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// readDefined reads the kinds that CustomResourceDefinitions define and that Maek knows. Most clusters
// have none of them: what no definition defines is not asked for. Who may not read the definitions is
// told by discovery, which is open to everybody, which groups there are: a list of what is not there would
// be answered as forbidden.
func (c *Client) readDefined(ctx context.Context, kinds []snapshot.Kind, readings []reading) []reading {
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k snapshot.Kind) bool { return !k.Defined() })
	if len(kinds) == 0 {
		return nil
	}
	served, known := c.servedDefinitions(ctx, readings)
	var absent []reading
	present := slices.DeleteFunc(kinds, func(k snapshot.Kind) bool {
		if !known || served(k) {
			return false
		}
		absent = append(absent, reading{kind: k, coverage: snapshot.Coverage{
			State: snapshot.NotServed, Reason: fmt.Sprintf("the API server does not serve %s/%s", k.Group, k.Version), ReadAt: c.options.Now(),
		}})
		return true
	})
	return append(absent, c.readEach(ctx, present)...)
}

// servedDefinitions tells which of these kinds are served, as far as it can be known without asking for each.
func (c *Client) servedDefinitions(ctx context.Context, readings []reading) (served func(snapshot.Kind) bool, known bool) {
	definitions := snapshot.KindOf[*apiextensionsv1.CustomResourceDefinition]()
	for _, r := range readings {
		if r.kind == definitions && r.coverage.State == snapshot.Complete {
			kinds := definedKinds(r)
			return func(k snapshot.Kind) bool { return kinds[k] }, true
		}
	}
	body, _, err := c.get(ctx, "/apis")
	var groups metav1.APIGroupList
	if err != nil || json.Unmarshal(body, &groups) != nil || len(groups.Groups) == 0 {
		return nil, false
	}
	return func(k snapshot.Kind) bool {
		return slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool {
			return g.Name == k.Group && slices.ContainsFunc(g.Versions, func(v metav1.GroupVersionForDiscovery) bool { return v.Version == k.Version })
		})
	}, true
}

// definedKinds are the kinds, at each version that is served, that a reading of definitions defines.
func definedKinds(definitions reading) map[snapshot.Kind]bool {
	out := map[snapshot.Kind]bool{}
	for _, o := range definitions.objects {
		crd, ok := o.(*apiextensionsv1.CustomResourceDefinition)
		if !ok {
			continue
		}
		for _, v := range crd.Spec.Versions {
			if v.Served {
				out[snapshot.Kind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind, Resource: crd.Spec.Names.Plural}] = true
			}
		}
	}
	return out
}
