package snapshot_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

func TestNodeSelected(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1", Labels: map[string]string{"zone": "a", "slots": "4"}}}
	requirement := func(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: key, Operator: op, Values: values}
	}
	term := func(all ...corev1.NodeSelectorRequirement) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: all}
	}
	tests := map[string]struct {
		terms []corev1.NodeSelectorTerm
		want  bool
	}{
		"no terms select nothing":            {nil, false},
		"an empty term selects nothing":      {[]corev1.NodeSelectorTerm{{}}, false},
		"one of several terms is enough":     {[]corev1.NodeSelectorTerm{term(requirement("zone", corev1.NodeSelectorOpIn, "b")), term(requirement("zone", corev1.NodeSelectorOpIn, "a"))}, true},
		"all requirements of a term must be": {[]corev1.NodeSelectorTerm{term(requirement("zone", corev1.NodeSelectorOpIn, "a"), requirement("disk", corev1.NodeSelectorOpExists))}, false},
		"a label that is absent is not in":   {[]corev1.NodeSelectorTerm{term(requirement("disk", corev1.NodeSelectorOpNotIn, "ssd"))}, true},
		"numbers are compared as numbers":    {[]corev1.NodeSelectorTerm{term(requirement("slots", corev1.NodeSelectorOpGt, "3"))}, true},
		"equal is not more":                  {[]corev1.NodeSelectorTerm{term(requirement("slots", corev1.NodeSelectorOpGt, "4"))}, false},
		"equal is not less":                  {[]corev1.NodeSelectorTerm{term(requirement("slots", corev1.NodeSelectorOpLt, "4"))}, false},
		"words are no numbers":               {[]corev1.NodeSelectorTerm{term(requirement("zone", corev1.NodeSelectorOpLt, "4"))}, false},
		"a node by its name":                 {[]corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{requirement("metadata.name", corev1.NodeSelectorOpIn, "w1")}}}, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := snapshot.NodeSelected(tc.terms, node); got != tc.want {
				t.Errorf("NodeSelected = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestNodeWanted(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1", Labels: map[string]string{"zone": "a", "node-role.kubernetes.io/infra": ""}}}
	tests := map[string]struct {
		selector map[string]string
		want     bool
	}{
		"no selector wants any node":             {nil, true},
		"a label that the node has":              {map[string]string{"zone": "a"}, true},
		"an empty label that the node has":       {map[string]string{"node-role.kubernetes.io/infra": ""}, true},
		"an empty label that the node has not":   {map[string]string{"node-role.kubernetes.io/control-plane": ""}, false},
		"another value than that of the node":    {map[string]string{"zone": "b"}, false},
		"of several labels all have to be there": {map[string]string{"zone": "a", "disk": "ssd"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := snapshot.NodeWanted(&corev1.Pod{Spec: corev1.PodSpec{NodeSelector: tc.selector}}, node); got != tc.want {
				t.Errorf("NodeWanted = %t, want %t", got, tc.want)
			}
		})
	}
}
