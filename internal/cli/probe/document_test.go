package probe

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/rules/ruletest"
	"github.com/maek-dev/maek/internal/snapshot"
)

// scene is how a fixture is looked at.
type scene struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`
	More   int       `json:"more"`
	NoAsk  bool      `json:"noAsk"`
	Unread []string  `json:"unread"`
	// Metrics are kubelets' pages of probes, by node.
	Metrics map[string]string `json:"metrics"`
	// Answers to probes, as a prober gives them.
	Answers []struct {
		Pod       string     `json:"pod"`
		Container string     `json:"container"`
		Kind      probe.Kind `json:"kind"`
		From      vantage    `json:"from"`
		// Outcome of a prober, by the names of its fields.
		Outcome probe.Outcome `json:"outcome"`
		Timeout time.Duration `json:"timeout"`
		Not     finding.Text  `json:"not"`
	} `json:"answers"`
}

// fixture reads a scene and the objects of its cluster.
func fixture(t *testing.T, archive *txtar.Archive) (scene, *evidence) {
	t.Helper()
	var s scene
	e := &evidence{nodes: map[string]*corev1.Node{}, metrics: map[string]snapshot.Metrics{}}
	for _, file := range archive.Files {
		switch file.Name {
		case "scene.yaml":
			strictly(t, file.Data, &s)
		case "state.yaml":
			for doc := range strings.SplitSeq(string(file.Data), "\n---\n") {
				e.add(t, []byte(doc))
			}
		}
	}
	e.target, e.more = target{s.Kind, "shop", s.Name}, s.More
	slices.SortStableFunc(e.pods, worstFirst)
	for _, what := range s.Unread {
		e.missing = append(e.missing, finding.Textf("%s (forbidden: needs a right)", "%s (권한 없음)", what))
	}
	for node, page := range s.Metrics {
		metrics, err := snapshot.ParseMetrics(page)
		if err != nil {
			t.Fatal(err)
		}
		e.metrics[node] = metrics
	}
	return s, e
}

func strictly(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Fatal(err)
	}
}

// add takes one object in.
func (e *evidence) add(t *testing.T, data []byte) {
	t.Helper()
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(data, &kind); err != nil {
		t.Fatal(err)
	}
	switch kind.Kind {
	case "Pod":
		o := &corev1.Pod{}
		strictly(t, data, o)
		e.pods = append(e.pods, o)
	case "Event":
		o := &corev1.Event{}
		strictly(t, data, o)
		e.events = append(e.events, o)
	case "Service":
		o := &corev1.Service{}
		strictly(t, data, o)
		e.services = append(e.services, o)
	case "EndpointSlice":
		o := &discoveryv1.EndpointSlice{}
		strictly(t, data, o)
		e.slices = append(e.slices, o)
	case "Node":
		o := &corev1.Node{}
		strictly(t, data, o)
		e.nodes[o.Name] = o
	default:
		t.Fatalf("no fixture has a %q", kind.Kind)
	}
}

func (s scene) answers() map[key][]asked {
	if s.NoAsk {
		return nil
	}
	out := map[key][]asked{}
	for _, a := range s.Answers {
		k := key{a.Pod, a.Container, a.Kind}
		out[k] = append(out[k], asked{from: a.From, outcome: a.Outcome, timeout: a.Timeout, not: a.Not})
	}
	return out
}

// TestDocuments compares all that is printed of each fixture, in both languages and for programs.
func TestDocuments(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, e := fixture(t, archive)
			got := map[string]string{}
			for name, language := range map[string]finding.Language{"want.en.txt": finding.English, "want.ko.txt": finding.Korean} {
				d := &describer{evidence: e, answers: s.answers(), now: s.At, language: language, location: time.UTC}
				doc := d.document()
				var out bytes.Buffer
				if err := doc.page(report.Options{Language: language, Program: "kubectl maek"}).Write(&out); err != nil {
					t.Fatal(err)
				}
				got[name] = out.String()
				if language == finding.English {
					out.Reset()
					if err := doc.printJSON(&out); err != nil {
						t.Fatal(err)
					}
					got["want.json"] = out.String()
				}
			}
			compare(t, path, archive, got)
		})
	}
}

// compare holds what was printed against the files of a fixture, or writes them.
func compare(t *testing.T, path string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	want := map[string]string{}
	var kept []txtar.File
	for _, file := range archive.Files {
		if strings.HasPrefix(file.Name, "want.") {
			want[file.Name] = string(file.Data)
		} else {
			kept = append(kept, file)
		}
	}
	if !ruletest.Updating() {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("printed (-want +got):\n%s", diff)
		}
		return
	}
	for _, name := range []string{"want.en.txt", "want.ko.txt", "want.json"} {
		kept = append(kept, txtar.File{Name: name, Data: []byte(got[name])})
	}
	archive.Files = kept
	if err := os.WriteFile(path, txtar.Format(archive), 0o600); err != nil {
		t.Fatal(err)
	}
}
