package crd

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// fullRecord returns a record at every one of its bounds.
func fullRecord(name string) *v1alpha1.CheckRecord {
	at := metav1.NewTime(time.Date(2026, 11, 21, 2, 14, 0, 0, time.UTC))
	record := &v1alpha1.CheckRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Check:      v1alpha1.CheckReference{APIVersion: "comcast.github.io/v1", Kind: "KuberhealthyCheck", Name: "dns", UID: "a7e3"},
		Writer:     "maek-operator-0",
		WrittenAt:  at,
		Healthy:    metav1.ConditionFalse,
		Since:      &at,
		Streak:     7,
		LastFailure: &v1alpha1.FailureRecord{
			CheckFailure: v1alpha1.CheckFailure{At: at, Target: strings.Repeat("t", 253), Reason: "TimedOut", Message: strings.Repeat("m", 512)},
			LogTail:      strings.Repeat("l", v1alpha1.MaxLogTail),
		},
	}
	outcome := v1alpha1.Outcome{At: at, Result: v1alpha1.ResultFailure, LatencyMilliseconds: 300_000, Reason: strings.Repeat("R", 63)}
	summary := v1alpha1.OutcomeSummary{
		Start: at, Successes: 86_400, Failures: 86_400, Unknowns: 86_400,
		MeanLatencyMilliseconds: 300_000, MaxLatencyMilliseconds: 300_000,
	}
	for range v1alpha1.MaxOutcomes {
		record.Outcomes = append(record.Outcomes, outcome)
	}
	for range v1alpha1.MaxHours {
		record.Hours = append(record.Hours, summary)
	}
	for range v1alpha1.MaxDays {
		record.Days = append(record.Days, summary)
	}
	return record
}

func TestAFullRecordIsStoredWholeAndSmall(t *testing.T) {
	ctx, c := t.Context(), cluster
	want := fullRecord("full")
	if err := c.Create(ctx, want.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	var got v1alpha1.CheckRecord
	if err := c.Get(ctx, client.ObjectKeyFromObject(want), &got); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if limit := 32 << 10; len(data) > limit {
		t.Errorf("the record takes %d bytes; its bounds promise at most %d", len(data), limit)
	}
	got.ObjectMeta, got.TypeMeta = want.ObjectMeta, want.TypeMeta
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestARecordBeyondItsBoundsIsRefused(t *testing.T) {
	ctx, c := t.Context(), cluster
	for name, tc := range map[string]struct {
		grow func(*v1alpha1.CheckRecord)
		want string
	}{
		"one outcome more": {func(r *v1alpha1.CheckRecord) { r.Outcomes = append(r.Outcomes, r.Outcomes[0]) }, "outcomes: Too many: 61: must have at most 60 items"},
		"one hour more":    {func(r *v1alpha1.CheckRecord) { r.Hours = append(r.Hours, r.Hours[0]) }, "hours: Too many: 25: must have at most 24 items"},
		"one day more":     {func(r *v1alpha1.CheckRecord) { r.Days = append(r.Days, r.Days[0]) }, "days: Too many: 31: must have at most 30 items"},
		"one byte of log":  {func(r *v1alpha1.CheckRecord) { r.LastFailure.LogTail += "l" }, "lastFailure.logTail: Too long"},
		"another verdict":  {func(r *v1alpha1.CheckRecord) { r.Healthy = "Maybe" }, "healthy: Unsupported value"},
	} {
		t.Run(name, func(t *testing.T) {
			record := fullRecord("beyond")
			tc.grow(record)
			err := c.Create(ctx, record, client.DryRunAll)
			if err == nil {
				t.Fatal("the API server accepted it")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("refusal %q does not say %q", err, tc.want)
			}
		})
	}
}

func TestARecordStaysWithItsCheck(t *testing.T) {
	ctx, c := t.Context(), cluster
	record := fullRecord("moved")
	if err := c.Create(ctx, record); err != nil {
		t.Fatal(err)
	}
	record.Check.UID = "b8f4"
	err := c.Update(ctx, record)
	if err == nil {
		t.Fatal("the API server let the record change its check")
	}
	if want := "a record belongs to one check for good; write a new CheckRecord for another"; !strings.Contains(err.Error(), want) {
		t.Errorf("refusal %q does not say %q", err, want)
	}
}
