package admission

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRightsRefused(t *testing.T) {
	const line = `pods is forbidden: User "system:serviceaccount:shop:api" cannot list resource "pods" in API group "" in the namespace "shop"`
	pods := right{accountNamespace: "shop", account: "api", verb: "list", resource: "pods", namespace: "shop"}
	settings := right{accountNamespace: "shop", account: "api", verb: "get", resource: "configmaps", name: "settings", namespace: "shop"}
	scale := right{accountNamespace: "shop", account: "api", verb: "update", resource: "deployments/scale", group: "apps"}
	tests := map[string]struct {
		log  string
		want []right
	}{
		"the API server's own words":         {line, []right{pods}},
		"within JSON":                        {`{"msg":"pods is forbidden: User \"system:serviceaccount:shop:api\" cannot list resource \"pods\" in API group \"\" in the namespace \"shop\""}`, []right{pods}},
		"said again and again":               {line + "\n" + line + "\nend\n", []right{pods}},
		"a subresource of the whole cluster": {`User "system:serviceaccount:shop:api" cannot update resource "deployments/scale" in API group "apps" at the cluster scope`, []right{scale}},
		"one object by its name":             {`configmaps "settings" is forbidden: User "system:serviceaccount:shop:api" cannot get resource "configmaps" in API group "" in the namespace "shop"`, []right{settings}},
		"a person":                           {`User "jane" cannot list resource "pods" in API group "" in the namespace "shop"`, nil},
		"a file that may not be read":        {"open /data: permission denied", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := rightsRefused(tc.log)
			for i := range got {
				got[i].line = ""
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(right{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRightSaysItselfInCommands(t *testing.T) {
	r := right{accountNamespace: "shop", account: "api", verb: "update", resource: "deployments/scale", group: "apps", namespace: "prod"}
	if got, want := r.command(), "kubectl auth can-i update deployments.apps --as=system:serviceaccount:shop:api --subresource=scale -n prod"; got != want {
		t.Errorf("command = %s, want %s", got, want)
	}
	want := "kubectl -n prod create role api-update-deployments-scale --verb=update --resource=deployments.apps/scale && " +
		"kubectl -n prod create rolebinding api-update-deployments-scale --role=api-update-deployments-scale --serviceaccount=shop:api"
	if got := r.grant(); got != want {
		t.Errorf("grant = %s, want %s", got, want)
	}
}
