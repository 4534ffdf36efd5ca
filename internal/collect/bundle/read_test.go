package bundle

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// opened reads a bundle of the given files.
func opened(t *testing.T, files map[string]string) *Bundle {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	b, err := OpenFS(t.Context(), fsys, ".")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// gapTexts are a bundle's gaps in English.
func gapTexts(b *Bundle) []string {
	var out []string
	for _, g := range b.Gaps() {
		out = append(out, g.Reason.In(finding.English))
		if g.Reason.KO == "" {
			out = append(out, "no Korean for: "+g.Reason.EN)
		}
	}
	return out
}

// undated is the gap of a bundle in which nothing has a time.
const undated = "nothing in the bundle says when it was taken, so no age can be told, and what may have just begun counts as having lasted"

// besides leaves one gap out.
func besides(gaps []string, one string) []string {
	var out []string
	for _, g := range gaps {
		if g != one {
			out = append(out, g)
		}
	}
	return out
}

const (
	podItem   = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"shop"}}`
	otherItem = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b","namespace":"kube-system"}}`
	nodeItem  = `{"apiVersion":"v1","kind":"Node","metadata":{"name":"w1","creationTimestamp":"2026-03-02T02:00:00Z"}}`
)

func list(items ...string) string {
	return `{"apiVersion":"v1","items":[` + strings.Join(items, ",") + `],"kind":"List","metadata":{"resourceVersion":""}}`
}

func typedList(kind string, items ...string) string {
	return `{"kind":"` + kind + `List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[` + strings.Join(items, ",") + `]}`
}

// How far a kind counts as read, and how many objects of it are there.
func TestBundlesMadeByHand(t *testing.T) {
	type read struct {
		State     snapshot.State
		Reason    string
		Namespace string
		Objects   int
	}
	tests := map[string]struct {
		files    map[string]string
		want     map[snapshot.Kind]read
		wantGaps []string
	}{
		"lists of all namespaces": {
			files: map[string]string{"everything.json": list(podItem, otherItem, nodeItem), "README": "hello"},
			want:  map[snapshot.Kind]read{podKind: {State: snapshot.Complete, Objects: 2}, nodeKind: {State: snapshot.Complete, Objects: 1}},
		},
		"lists as YAML": {
			files: map[string]string{"p.yml": "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a, namespace: shop}\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b, namespace: other}\nkind: List\nmetadata: {}\n"},
			want:  map[snapshot.Kind]read{podKind: {State: snapshot.Complete, Objects: 2}},
		},
		"typed lists, whose items do not say what they are": {
			files: map[string]string{"p": "ignored", "x.json": typedList("Pod", `{"metadata":{"name":"a","namespace":"x"}}`, `{"metadata":{"name":"b","namespace":"y"}}`)},
			want:  map[snapshot.Kind]read{podKind: {State: snapshot.Complete, Objects: 2}},
		},
		"a typed list that says its kind last": {
			files: map[string]string{"x.json": `{"items":[{"metadata":{"name":"w1"}}],"kind":"NodeList","apiVersion":"v1"}`},
			want:  map[snapshot.Kind]read{nodeKind: {State: snapshot.Complete, Objects: 1}},
		},
		"lists of one namespace": {
			files: map[string]string{"pods.json": list(podItem), "nodes.json": list(nodeItem)},
			want: map[snapshot.Kind]read{
				podKind:  {State: snapshot.Partial, Reason: "every list in the bundle is of namespace shop; take them with -A", Namespace: "shop", Objects: 1},
				nodeKind: {State: snapshot.Complete, Objects: 1},
			},
		},
		"an empty list in a file that says of what": {
			files: map[string]string{"daemonsets.json": list(), "nodes.json": list(nodeItem), "empty.json": list()},
			want:  map[snapshot.Kind]read{daemonSetKind: {State: snapshot.Complete}, nodeKind: {State: snapshot.Complete, Objects: 1}},
		},
		"an empty typed list": {
			files: map[string]string{"x.json": typedList("Pod"), "y.json": `{"kind":"NodeList","apiVersion":"v1","items":null}`},
			want:  map[snapshot.Kind]read{podKind: {State: snapshot.Complete}, nodeKind: {State: snapshot.Complete}},
		},
		"a list that is one page of more": {
			files: map[string]string{"x.json": `{"kind":"NodeList","apiVersion":"v1","metadata":{"continue":"abc"},"items":[{"metadata":{"name":"w1"}}]}`},
			want:  map[snapshot.Kind]read{nodeKind: {State: snapshot.Partial, Reason: "the list in the bundle says that it goes on", Objects: 1}},
		},
		"single objects, several to a file": {
			files: map[string]string{"x.yaml": "# two pods\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n---\n\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: other}\n"},
			want:  map[snapshot.Kind]read{podKind: {State: snapshot.Partial, Reason: "the bundle holds single objects, no list", Objects: 2}},
		},
		"JSON documents one after another": {
			files: map[string]string{"x.json": "\n" + podItem + "\n" + list(otherItem, podItem)},
			want:  map[snapshot.Kind]read{podKind: {State: snapshot.Complete, Objects: 2}},
		},
		"a file that begins with a byte order mark": {
			files: map[string]string{"x.json": "\xef\xbb\xbf" + list(nodeItem)},
			want:  map[snapshot.Kind]read{nodeKind: {State: snapshot.Complete, Objects: 1}},
		},
		"a file that breaks off": {
			files:    map[string]string{"x.json": list(nodeItem, nodeItem)[:150]},
			want:     map[snapshot.Kind]read{nodeKind: {State: snapshot.Partial, Reason: "x.json breaks off", Objects: 1}},
			wantGaps: []string{"x.json: it breaks off at byte 130: unexpected EOF; what came before is used"},
		},
		"YAML that is no Kubernetes object": {
			files: map[string]string{
				"nodes.json":    list(nodeItem),
				"values.yaml":   "replicas: 3\n---\n- a\n- b\n---\njust text\n---\n{unclosed: [\n",
				"other.json":    `[1,2]`,
				"nameless.json": `{"apiVersion":"v1","kind":"Pod","metadata":{}}`,
			},
			want: map[snapshot.Kind]read{nodeKind: {State: snapshot.Complete, Objects: 1}},
			wantGaps: []string{
				"nameless.json: byte 46: no Kubernetes object (a Pod has no name), skipped",
				"other.json: byte 1: it is no Kubernetes object; what came before is used",
				"values.yaml: line 1: no Kubernetes object (it has no apiVersion and kind), skipped",
				"values.yaml: line 3: no Kubernetes object (byte 1: it is no Kubernetes object), skipped",
				"values.yaml: line 6: no Kubernetes object (byte 11: it is no Kubernetes object), skipped",
				"values.yaml: line 8: no Kubernetes object (yaml: did not find expected node content), skipped",
			},
		},
		"kinds and versions that nobody knows": {
			files: map[string]string{
				"nodes.json": list(nodeItem),
				"crs.yaml":   "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\n---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: b}\n---\napiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: old}\n---\napiVersion: v1\nkind: Status\nmessage: forbidden\n",
			},
			want: map[snapshot.Kind]read{nodeKind: {State: snapshot.Complete, Objects: 1}},
			wantGaps: []string{
				"extensions/v1beta1 Deployment: this version of Maek does not know the kind; objects left out: 1",
				"v1 Status: this version of Maek does not know the kind; objects left out: 1",
			},
		},
		"an object of the right kind and the wrong shape": {
			files:    map[string]string{"x.json": list(nodeItem, `{"apiVersion":"v1","kind":"Node","metadata":"w2"}`)},
			want:     map[snapshot.Kind]read{nodeKind: {State: snapshot.Complete, Objects: 1}},
			wantGaps: []string{`x.json: byte 129: no Kubernetes object (json: cannot unmarshal string into Go struct field Node.metadata of type v1.ObjectMeta), skipped`},
		},
		"a manifest and a report of other versions": {
			files: map[string]string{
				"nodes.json": list(nodeItem), "MANIFEST.json": `{"apiVersion":"maek.dev/bundle/v7","kind":"BundleManifest"}`,
				"machines/w1/report.json": `{"apiVersion":"maek.dev/agent/v7"}`, "machines/w2/report.json": `{`,
			},
			want: map[snapshot.Kind]read{nodeKind: {State: snapshot.Complete, Objects: 1}},
			wantGaps: []string{
				`MANIFEST.json: it is a "maek.dev/bundle/v7" "BundleManifest", and this version of Maek reads "maek.dev/bundle/v1" "BundleManifest"; the objects are read as if it were not there`,
				`machines/w1/report.json: the machine's report is left out: its apiVersion is "maek.dev/agent/v7", and this version of Maek reads "maek.dev/agent/v1"`,
				`machines/w2/report.json: the machine's report is left out: it cannot be read: unexpected EOF`,
			},
		},
		"a manifest that promises more than is there": {
			files: map[string]string{
				"nodes.json": list(nodeItem),
				"MANIFEST.json": `{"apiVersion":"maek.dev/bundle/v1","kind":"BundleManifest","observedAt":"2026-03-02T02:20:00Z","kinds":[
					{"version":"v1","kind":"Node","resource":"nodes","state":"complete","file":"nodes.json","objects":2},
					{"version":"v1","kind":"Pod","resource":"pods","state":"complete","file":"pods.json","objects":3},
					{"version":"v1","kind":"Service","resource":"services","state":"complete","objects":0}]}`,
			},
			want: map[snapshot.Kind]read{
				nodeKind:    {State: snapshot.Partial, Reason: "the bundle holds 1 of the 2 objects that its manifest tells of", Objects: 1},
				podKind:     {State: snapshot.Failed, Reason: "the bundle holds 0 of the 3 objects that its manifest tells of"},
				serviceKind: {State: snapshot.Complete},
			},
		},
		"kubectl cluster-info dump -A": {
			files: map[string]string{
				"d/nodes.json":                                   typedList("Node", `{"metadata":{"name":"w1"}}`),
				"d/shop/pods.json":                               typedList("Pod", `{"metadata":{"name":"a","namespace":"shop"}}`),
				"d/shop/replication-controllers.json":            typedList("ReplicationController"),
				"d/shop/services.json":                           typedList("Service"),
				"d/kube-public/pods.json":                        typedList("Pod"),
				"d/kube-public/replication-controllers.json":     typedList("ReplicationController"),
				"d/kube-node-lease/pods.json":                    typedList("Pod"),
				"d/kube-node-lease/replication-controllers.json": typedList("ReplicationController"),
			},
			want: map[snapshot.Kind]read{
				nodeKind: {State: snapshot.Complete, Objects: 1}, podKind: {State: snapshot.Complete, Objects: 1}, serviceKind: {State: snapshot.Complete},
			},
		},
		"kubectl cluster-info dump of some namespaces": {
			files: map[string]string{
				"nodes.json":                        typedList("Node", `{"metadata":{"name":"w1"}}`),
				"shop/pods.json":                    typedList("Pod", `{"metadata":{"name":"a","namespace":"shop"}}`),
				"shop/replication-controllers.json": typedList("ReplicationController"),
				"default/pods.json":                 typedList("Pod"),
			},
			want: map[snapshot.Kind]read{
				nodeKind: {State: snapshot.Complete, Objects: 1},
				podKind:  {State: snapshot.Partial, Reason: "the dump covers the namespaces default, shop", Objects: 1},
			},
		},
		"a support bundle": {
			files: map[string]string{
				"sb/cluster-resources/namespaces.json":                                typedList("Namespace", `{"metadata":{"name":"shop"}}`, `{"metadata":{"name":"default"}}`),
				"sb/cluster-resources/pods/shop.json":                                 typedList("Pod", `{"metadata":{"name":"a","namespace":"shop"}}`),
				"sb/cluster-resources/pods/default.json":                              typedList("Pod"),
				"sb/cluster-resources/services/shop.json":                             typedList("Service"),
				"sb/cluster-resources/custom-resources/widgets.example.com/shop.json": "[" + widgetItem + "]",
				"sb/cluster-resources/leases-errors.json":                             `{"shop":"leases is forbidden"}`,
				"sb/cluster-resources/pods-errors.json":                               `{}`,
				"sb/analysis.json":                                                    `[{"name":"x"}]`,
				"sb/version.yaml":                                                     "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nmetadata: {name: x}\n",
			},
			want: map[snapshot.Kind]read{
				namespaceKind: {State: snapshot.Complete, Objects: 2}, podKind: {State: snapshot.Complete, Objects: 1},
				serviceKind: {State: snapshot.Partial, Reason: "the support bundle lacks the namespaces default"},
			},
			wantGaps: []string{"the support bundle could not list leases: shop: leases is forbidden"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := opened(t, tc.files)
			s := b.Snapshot()
			for k, want := range tc.want {
				c := s.Coverage(k)
				if diff := cmp.Diff(want, read{c.State, c.Reason, c.Namespace, s.Len(k)}); diff != "" {
					t.Errorf("%s (-want +got):\n%s", k, diff)
				}
			}
			for _, k := range s.Kinds() {
				if _, ok := tc.want[k]; !ok && k.Resource != "replicationcontrollers" {
					t.Errorf("%s is in the snapshot: %+v", k, s.Coverage(k))
				}
			}
			if diff := cmp.Diff(tc.wantGaps, besides(gapTexts(b), undated)); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			if s.API().Asked {
				t.Error("the API server is said to have been asked")
			}
		})
	}
}

func TestTheMomentOfABundleWithoutManifest(t *testing.T) {
	tests := map[string]struct {
		object string
		want   string
	}{
		"not a machine's clock that is ahead": {`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"w1","managedFields":[{"manager":"kubelet","time":"2026-03-02T02:19:50Z"}]},"spec":{"renewTime":"2027-03-02T02:19:59.000000Z"}}`, "2026-03-02T02:19:50Z"},
		"a node's heartbeat":                  {`{"apiVersion":"v1","kind":"Node","metadata":{"name":"w1","creationTimestamp":"2026-01-01T00:00:00Z"},"status":{"conditions":[{"type":"Ready","lastHeartbeatTime":"2026-03-02T02:19:00Z"}]}}`, "2026-03-02T02:19:00Z"},
		"a lease's renewal":                   {`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"w1"},"spec":{"renewTime":"2026-03-02T02:19:59.000000Z"}}`, "2026-03-02T02:19:59Z"},
		"an event":                            {`{"apiVersion":"v1","kind":"Event","metadata":{"name":"e"},"lastTimestamp":"2026-03-02T02:18:00Z"}`, "2026-03-02T02:18:00Z"},
		"a container's end":                   {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"status":{"containerStatuses":[{"name":"c","lastState":{"terminated":{"finishedAt":"2026-03-02T02:17:00Z"}}}]}}`, "2026-03-02T02:17:00Z"},
		"the last write":                      {`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","managedFields":[{"manager":"kubectl","time":"2026-03-02T02:16:00Z"}]}}`, "2026-03-02T02:16:00Z"},
		"not the end of a grace":              {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","creationTimestamp":"2026-03-02T02:00:00Z","deletionTimestamp":"2026-03-02T02:30:00Z"}}`, "2026-03-02T02:00:00Z"},
		"a deployment's progress":             {`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"status":{"conditions":[{"type":"Progressing","lastUpdateTime":"2026-03-02T02:15:00Z"}]}}`, "2026-03-02T02:15:00Z"},
		"a cron job's schedule":               {`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"c"},"status":{"lastScheduleTime":"2026-03-02T02:14:00Z"}}`, "2026-03-02T02:14:00Z"},
		"a job's end":                         {`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"c"},"status":{"conditions":[{"type":"Complete","lastTransitionTime":"2026-03-02T02:13:00Z"}]}}`, "2026-03-02T02:13:00Z"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := opened(t, map[string]string{"x.json": list(tc.object)})
			if got := b.Snapshot().Now().UTC().Format(time.RFC3339); got != tc.want {
				t.Errorf("moment %s, want %s", got, tc.want)
			}
		})
	}
}

func TestABundleWithoutAnyTimeSaysSo(t *testing.T) {
	b := opened(t, map[string]string{"x.json": list(podItem, otherItem)})
	if gaps := gapTexts(b); !slices.Equal(gaps, []string{undated}) {
		t.Errorf("gaps %q", gaps)
	}
	if got := b.Snapshot().Now(); got.Sub(time.Time{}) < 100*365*24*time.Hour {
		t.Errorf("at %s all has just begun", got)
	}
}

func TestLogsInABundleAnswerQuestions(t *testing.T) {
	current := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-0", Container: "api"}
	previous := current
	previous.Previous = true
	sidecar := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-0", Container: "sidecar"}
	dump := strings.Join([]string{
		"==== START logs for container api of pod shop/api-0 ====", "one", "two", "==== END logs for container api of pod shop/api-0 ====",
		"==== START logs for container sidecar of pod shop/api-0 ====", "no newline at the end==== END logs for container sidecar of pod shop/api-0 ====",
		"==== START logs for container broken of pod shop/api-0 ====", "Request log error: gone", "==== END logs for container broken of pod shop/api-0 ====", "",
	}, "\n")
	broken := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-0", Container: "broken"}
	tests := map[string]struct {
		files map[string]string
		want  map[snapshot.Question]string
	}{
		"Maek's own": {
			files: map[string]string{"b/logs/shop/api-0/api.log": "now\n", "b/logs/shop/api-0/api.previous.log": "before\xff\n"},
			want:  map[snapshot.Question]string{current: "now", previous: "before\uFFFD"},
		},
		"a cluster-info dump's": {
			files: map[string]string{"d/shop/api-0/logs.txt": dump},
			want:  map[snapshot.Question]string{current: "one\ntwo", sidecar: "no newline at the end"},
		},
		"a support bundle's": {
			files: map[string]string{
				"sb/cluster-resources/pods/logs/shop/api-0/api.log": "now", "sb/cluster-resources/pods/logs/shop/api-0/api-previous.log": "before",
			},
			want: map[snapshot.Question]string{current: "now", previous: "before"},
		},
		"none": {files: map[string]string{"logs/shop/api-1/api.log": "other pod"}, want: map[snapshot.Question]string{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.files["nodes.json"] = list(nodeItem)
			b := opened(t, tc.files)
			questions := []snapshot.Question{current, previous, sidecar, broken, {Kind: snapshot.KubeletConnection, Name: "w1"}}
			want := map[snapshot.Question]snapshot.Answer{}
			for q, text := range tc.want {
				want[q] = snapshot.Answer{Outcome: snapshot.Answered, Text: text, At: b.Snapshot().Now()}
			}
			if diff := cmp.Diff(want, b.Answer(t.Context(), questions)); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
}
