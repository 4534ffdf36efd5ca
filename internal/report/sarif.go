package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// The parts of SARIF 2.1.0 that a log needs (https://docs.oasis-open.org/sarif/sarif/v2.1.0/).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string    `json:"id"`
		Short   sarifText `json:"shortDescription"`
		HelpURI string    `json:"helpUri,omitempty"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"fingerprints"`
		Baseline     string            `json:"baselineState,omitempty"`
	}
	sarifLocation struct {
		Logical []sarifLogical `json:"logicalLocations"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

// SARIF writes a document as a log of static analysis results, one an incident.
func SARIF(w io.Writer, d v1alpha1.Diagnosis, o Options) error {
	run := sarifRun{Tool: sarifTool{Driver: sarifDriver{Name: "Maek", Rules: []sarifRule{}}}, Results: []sarifResult{}}
	for _, r := range o.Rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{ID: r.Code, Short: sarifText{r.Title}, HelpURI: r.Link})
	}
	inv := sarifInvocation{ExecutionSuccessful: len(d.Errors) == 0}
	for _, s := range d.Skipped {
		inv.Notifications = append(inv.Notifications, sarifNotification{Level: "warning", Message: sarifText{s.Reason}})
	}
	for _, e := range d.Errors {
		inv.Notifications = append(inv.Notifications, sarifNotification{Level: "error", Message: sarifText{e.Reason}})
	}
	run.Invocations = []sarifInvocation{inv}
	for _, i := range d.Incidents {
		run.Results = append(run.Results, sarifResult{
			RuleID: i.Code, Level: sarifLevel(i.Severity), Message: sarifText{i.Title + "\n" + i.Why},
			Locations:    []sarifLocation{{Logical: []sarifLogical{{Name: named(i.Subject), Kind: "resource"}}}},
			Fingerprints: map[string]string{"maek/v1": i.ID}, Baseline: baseline(d.Changes, i.ID),
		})
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	log := sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
	if err := enc.Encode(log); err != nil {
		return fmt.Errorf("encoding the diagnosis: %w", err)
	}
	_, err := w.Write(escape(buf.Bytes(), `\u%04x`))
	return err
}

// sarifLevel is the level of a severity (SARIF 2.1.0, 3.27.10).
func sarifLevel(s v1alpha1.Severity) string {
	switch s {
	case v1alpha1.SeverityCritical:
		return "error"
	case v1alpha1.SeverityWarning:
		return "warning"
	default:
		return "note"
	}
}

// baseline tells a new result from one that was there (SARIF 2.1.0, 3.27.24).
func baseline(c *v1alpha1.Changes, id string) string {
	if c == nil {
		return ""
	}
	if slices.Contains(c.New, id) {
		return "new"
	}
	return "unchanged"
}
