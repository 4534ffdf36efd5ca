package ruletest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// defaultMoment is the moment of a fixture that does not name one.
var defaultMoment = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

// surroundings is what snapshot.yaml holds.
type surroundings struct {
	// At is the moment of the snapshot.
	At *metav1.Time `json:"at,omitempty"`
	// API is what was seen of the API server.
	API *snapshot.API `json:"api,omitempty"`
	// NotRead names kinds, by resource.group, that were not read whole.
	NotRead map[string]snapshot.Coverage `json:"notRead,omitempty"`
	// Answers to questions.
	Answers []struct {
		Question snapshot.Question `json:"question"`
		Answer   snapshot.Answer   `json:"answer"`
	} `json:"answers,omitempty"`
	// Machines are agents' reports.
	Machines []snapshot.MachineReport `json:"machines,omitempty"`
	// ExpectedNodes are nodes that should exist.
	ExpectedNodes []snapshot.ExpectedNode `json:"expectedNodes,omitempty"`
}

// load makes a snapshot of a fixture. Every kind that it does not name as unread counts as read
// whole.
func load(state, around []byte) (*snapshot.Snapshot, error) {
	var sur surroundings
	if err := yaml.UnmarshalStrict(around, &sur); err != nil {
		return nil, fmt.Errorf("%s: %w", snapshotFile, err)
	}
	moment := defaultMoment
	if sur.At != nil {
		moment = sur.At.Time
	}
	b := snapshot.NewBuilder(moment, snapshot.Source{Name: "fixture"})
	for gvk := range snapshot.Scheme.AllKnownTypes() {
		k, ok := snapshot.KindFor(gvk)
		if !ok {
			continue
		}
		c := snapshot.Coverage{State: snapshot.Complete, ReadAt: moment}
		if named, ok := sur.NotRead[k.GroupResource()]; ok {
			c = named
		}
		b.SetCoverage(k, c)
	}
	if sur.API != nil {
		b.SetAPI(*sur.API)
	}
	answers := map[snapshot.Question]snapshot.Answer{}
	for _, a := range sur.Answers {
		answers[a.Question] = a.Answer
	}
	for _, m := range sur.Machines {
		b.AddMachine(m)
	}
	decoder := serializer.NewCodecFactory(snapshot.Scheme, serializer.EnableStrict).UniversalDeserializer()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(state)))
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return b.Build().WithExpected(sur.ExpectedNodes).With(answers), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", stateFile, n, err)
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		obj, _, err := decoder.Decode(doc, nil, nil)
		if runtime.IsNotRegisteredError(err) {
			if err := addCustom(b, doc, moment, sur.NotRead); err != nil {
				return nil, fmt.Errorf("%s: document %d: %w", stateFile, n, err)
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", stateFile, n, err)
		}
		if !b.Add(obj) {
			return nil, fmt.Errorf("%s: document %d: a snapshot does not hold %T", stateFile, n, obj)
		}
	}
}

// addCustom takes in an object of a kind that Scheme does not know, as a collector does. Its resource
// is guessed from its kind, and its kind counts as read whole where it is not named as unread.
func addCustom(b *snapshot.Builder, doc []byte, moment time.Time, notRead map[string]snapshot.Coverage) error {
	data, err := yaml.YAMLToJSON(doc)
	if err != nil {
		return fmt.Errorf("decoding a custom resource: %w", err)
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(data); err != nil {
		return fmt.Errorf("decoding a custom resource: %w", err)
	}
	gvk := u.GroupVersionKind()
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	k := snapshot.Kind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Resource: plural.Resource}
	r, err := snapshot.ReduceCustom(k, &u)
	if err != nil {
		return err
	}
	b.AddCustom(r)
	c := snapshot.Coverage{State: snapshot.Complete, ReadAt: moment}
	if named, ok := notRead[k.GroupResource()]; ok {
		c = named
	}
	b.SetCustomCoverage(k, c)
	return nil
}

// said is what a rule said about a fixture, as want.yaml holds it.
type said struct {
	Findings []saidFinding `json:"findings"`
	Skips    []string      `json:"skips,omitempty"`
}

type saidFinding struct {
	Severity   finding.Severity   `json:"severity"`
	Subject    finding.Subject    `json:"subject"`
	Mechanism  finding.Mechanism  `json:"mechanism"`
	Field      string             `json:"field,omitempty"`
	Since      *metav1.Time       `json:"since,omitempty"`
	Settling   bool               `json:"settling,omitempty"`
	Confidence finding.Confidence `json:"confidence,omitempty"`
	Title      saidText           `json:"title"`
	Why        saidText           `json:"why"`
	Explains   []finding.Subject  `json:"explains,omitempty"`
	RuledOut   []string           `json:"ruledOut,omitempty"`
	Now        []string           `json:"now,omitempty"`
	Later      []string           `json:"later,omitempty"`
	Evidence   []finding.Evidence `json:"evidence,omitempty"`
}

type saidText struct {
	EN string `json:"en"`
	KO string `json:"ko"`
}

func sayings(result rule.Result) said {
	out := said{Findings: []saidFinding{}}
	for _, f := range result.Findings {
		s := saidFinding{
			Severity: f.Severity, Subject: f.Subject, Mechanism: f.Mechanism, Field: f.Field,
			Since: finding.Timestamp(f.Since), Settling: f.Settling, Confidence: f.Confidence,
			Title: saidText(f.Title), Why: saidText(f.Why), Explains: f.Explains, Evidence: f.Evidence,
			Now: remedies(f.Remedies.Now), Later: remedies(f.Remedies.Later),
		}
		for _, r := range f.RuledOut {
			s.RuledOut = append(s.RuledOut, r.Text.EN)
		}
		out.Findings = append(out.Findings, s)
	}
	for _, s := range result.Skips {
		out.Skips = append(out.Skips, s.Reason.EN)
	}
	return out
}

func remedies(in []finding.Remedy) []string {
	var out []string
	for _, r := range in {
		line := r.Text.EN
		if r.Command != "" {
			line = r.Machine + "$ " + r.Command + "  # " + line
		}
		out = append(out, line)
	}
	return out
}
