package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// ManifestVersion is the apiVersion of the manifests that this build writes and reads.
	ManifestVersion = "maek.dev/bundle/v1"
	manifestKind    = "BundleManifest"
	manifestFile    = "MANIFEST.json"
)

// manifest says of a bundle what its objects cannot.
type manifest struct {
	metav1.TypeMeta `json:",inline"`

	// Program that wrote the bundle, with its version.
	Program string `json:"program,omitempty"`
	// Cluster is the name under which people know the cluster.
	Cluster string `json:"cluster,omitempty"`
	// ObservedAt is the snapshot's moment, by the cluster's clock.
	ObservedAt time.Time `json:"observedAt"`
	// API is what was seen of the API server.
	API snapshot.API `json:"api"`
	// Kinds that somebody tried to read, sorted.
	Kinds []kindRecord `json:"kinds"`
	// CustomKinds are the kinds of custom resources that somebody tried to read, sorted.
	CustomKinds []kindRecord `json:"customKinds,omitempty"`
	// ExpectedNodes are the nodes that somebody expected when the bundle was written.
	ExpectedNodes []snapshot.ExpectedNode `json:"expectedNodes,omitempty"`
	// UnreportedMachines are the nodes whose machines gave no report, and why.
	UnreportedMachines map[string]string `json:"unreportedMachines,omitempty"`
	// Answers to the questions that rules asked, sorted by question.
	Answers []answerRecord `json:"answers,omitempty"`
	// Missing is what the bundle lacks beyond the kinds' coverage.
	Missing []missing `json:"missing,omitempty"`
}

type kindRecord struct {
	Group    string `json:"group,omitempty"`
	Version  string `json:"version"`
	Kind     string `json:"kind"`
	Resource string `json:"resource"`

	snapshot.Coverage `json:",inline"`

	// File that holds the objects; empty where there are none.
	File string `json:"file,omitempty"`
	// Objects in it.
	Objects int `json:"objects"`
}

func (r kindRecord) kind() snapshot.Kind {
	return snapshot.Kind{Group: r.Group, Version: r.Version, Kind: r.Kind, Resource: r.Resource}
}

type answerRecord struct {
	snapshot.Question `json:",inline"`

	Answer recordedAnswer `json:"answer"`
}

// recordedAnswer is an answer whose text, where people want to read it, lies in a file of its own.
type recordedAnswer struct {
	snapshot.Answer `json:",inline"`

	File string `json:"file,omitempty"`
}

type missing struct {
	Code   finding.Code `json:"code,omitempty"`
	Reason string       `json:"reason"`
	// ReasonKO is the reason in Korean, where it differs.
	ReasonKO string `json:"reasonKo,omitempty"`
}

func (m missing) skip() finding.Skip {
	s := finding.Skip{Code: m.Code, Reason: finding.Verbatim(m.Reason)}
	if m.ReasonKO != "" {
		s.Reason.KO = m.ReasonKO
	}
	return s
}

func missingOf(s finding.Skip) missing {
	m := missing{Code: s.Code, Reason: s.Reason.EN}
	if s.Reason.KO != s.Reason.EN {
		m.ReasonKO = s.Reason.KO
	}
	return m
}

// parseManifest reads a manifest.
func parseManifest(data []byte) (*manifest, error) {
	var m manifest
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&m); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if m.APIVersion != ManifestVersion || m.Kind != manifestKind {
		return nil, fmt.Errorf("it is a %q %q, and this version of Maek reads %q %q", m.APIVersion, m.Kind, ManifestVersion, manifestKind)
	}
	return &m, nil
}

// parseMachineReport reads an agent's report.
func parseMachineReport(data []byte, node string) (snapshot.MachineReport, error) {
	var r snapshot.MachineReport
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&r); err != nil {
		return r, fmt.Errorf("it cannot be read: %w", err)
	}
	if r.APIVersion != snapshot.MachineReportVersion {
		return r, fmt.Errorf("its apiVersion is %q, and this version of Maek reads %q", r.APIVersion, snapshot.MachineReportVersion)
	}
	if r.Node == "" {
		r.Node = node
	}
	return r, nil
}
