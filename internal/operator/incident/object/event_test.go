package object

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/operator/incident/lifecycle"
	"github.com/maek-dev/maek/internal/snapshot"
)

var moment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

func TestAnEventIsWhatTheAPIServerTakes(t *testing.T) {
	w := NewWriter(Options{Language: finding.Korean, Instance: strings.Repeat("replica-", 40), Now: func() time.Time { return moment }})
	tests := map[string]struct {
		notice        lifecycle.Notice
		regarding     corev1.ObjectReference
		wantNamespace string
		wantType      string
	}{
		"a long text about a pod": {
			lifecycle.Notice{Reason: lifecycle.Opened, Text: finding.Verbatim(strings.Repeat("맥박이 없습니다 ", 200))},
			corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "api"},
			"shop", corev1.EventTypeWarning,
		},
		"the end of what a Node had": {
			lifecycle.Notice{Reason: lifecycle.Closed, Text: finding.Verbatim("node w1 is well")},
			corev1.ObjectReference{Kind: "Node", Name: "w1"},
			metav1.NamespaceDefault, corev1.EventTypeNormal,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := w.event(tc.notice, "incident.1", tc.regarding)
			if e.Namespace != tc.wantNamespace || e.Type != tc.wantType || e.Reason != string(tc.notice.Reason) {
				t.Errorf("it is of %s, %s, %s", e.Namespace, e.Type, e.Reason)
			}
			if e.Note == "" || len(e.Note) > 1024 || !utf8.ValidString(e.Note) {
				t.Errorf("its note has %d bytes, valid %v", len(e.Note), utf8.ValidString(e.Note))
			}
			if e.ReportingInstance == "" || len(e.ReportingInstance) > 128 || e.EventTime.IsZero() || e.Action == "" {
				t.Errorf("reported by %q at %s, action %q", e.ReportingInstance, e.EventTime, e.Action)
			}
		})
	}
}

func TestReferencesAreFoundByTheirNames(t *testing.T) {
	b := snapshot.NewBuilder(moment, snapshot.Source{})
	for _, o := range []snapshot.Object{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1", UID: "node"}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api", UID: "in shop"}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: "api", UID: "in bank"}},
	} {
		b.Add(o)
	}
	s := b.Build()
	tests := map[string]struct {
		subject v1alpha1.Subject
		want    corev1.ObjectReference
	}{
		"a Node":            {v1alpha1.Subject{Kind: "Node", Name: "w1"}, corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "w1", UID: "node"}},
		"a Pod":             {v1alpha1.Subject{Kind: "Pod", Namespace: "bank", Name: "api"}, corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "bank", Name: "api", UID: "in bank"}},
		"a Pod that is not": {v1alpha1.Subject{Kind: "Pod", Namespace: "shop", Name: "gone"}, corev1.ObjectReference{}},
		"no object at all":  {v1alpha1.Subject{Kind: "EtcdMember", Name: "w1"}, corev1.ObjectReference{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, found := reference(s, tc.subject)
			if diff := cmp.Diff(tc.want, got); diff != "" || found != (tc.want.Kind != "") {
				t.Errorf("found %v (-want +got):\n%s", found, diff)
			}
		})
	}
}
