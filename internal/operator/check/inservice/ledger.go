package inservice

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

const (
	// remembered is for how long the ledger knows what was done with a pod.
	remembered = 24 * time.Hour
	// ledgerBytes bounds the ledger: annotations may have 256 KiB altogether
	// (k8s.io/apimachinery/pkg/api/validation/objectmeta.go, TotalAnnotationSizeLimitB).
	ledgerBytes = 200 << 10
	// bucketSize and bucketEvery are the cluster-wide token bucket: so many pods at once, and one more each
	// time, whatever policies say.
	bucketSize  = 3
	bucketEvery = 30 * time.Second
	// namespaceSize is how many of those may be of one namespace, so that whoever rules in one, and has its pods
	// look as they like, leaves something to the others.
	namespaceSize = bucketSize - 1
	// unhelpedMost is after how many times in vain a pod is not taken out any more.
	unhelpedMost = 2
)

// ledger is what was done in the whole cluster in the last 24 hours.
type ledger struct {
	Entries []entry `json:"entries,omitempty"`
	// Takes are when the newest pods were taken out, oldest first, at most bucketSize of them.
	Takes []time.Time `json:"takes,omitempty"`
}

// entry is one pod of the ledger.
type entry struct {
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	UID       types.UID `json:"uid"`
	Workload  string    `json:"workload"`
	// Node that it runs on; empty in ledgers of operators that did not note it.
	Node      string    `json:"node,omitempty"`
	Check     types.UID `json:"check"`
	CheckName string    `json:"checkName"`
	// Version of the pod that may be patched: the pod is out, or may yet be, while it has this one.
	Version string `json:"version"`
	// Out tells that it counts as out.
	Out bool `json:"out,omitempty"`
	// Times at which it was taken out, oldest first.
	Times []time.Time `json:"times"`
	// Back is when it was last given back, by the clock of whoever did.
	Back time.Time `json:"back,omitzero"`
	// Unhelped counts the times in a row that it was given back without having recovered.
	Unhelped int `json:"unhelped,omitempty"`
	// StaleAfter and Longest are how long it stays out without, and with, a check that goes on to fail.
	StaleAfter time.Duration `json:"staleAfter"`
	Longest    time.Duration `json:"longest"`
}

// entryOf is the entry of a pod of which nothing was done.
func entryOf(p *corev1.Pod) entry {
	return entry{Namespace: p.Namespace, Pod: p.Name, UID: p.UID, Workload: workload(p), Node: p.Spec.NodeName}
}

func (e entry) name() types.NamespacedName {
	return types.NamespacedName{Namespace: e.Namespace, Name: e.Pod}
}

func (e entry) last() time.Time {
	if len(e.Times) == 0 {
		return time.Time{}
	}
	return e.Times[len(e.Times)-1]
}

// decode reads a ledger; nothing is an empty one.
func decode(text string) (ledger, error) {
	var l ledger
	if text == "" {
		return l, nil
	}
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return ledger{}, fmt.Errorf("reading the ledger: %w", err)
	}
	return l, nil
}

// encode writes a ledger; ok is false where it has become too large.
func (l ledger) encode() (text string, ok bool, err error) {
	data, err := json.Marshal(l)
	if err != nil {
		return "", false, fmt.Errorf("writing the ledger: %w", err)
	}
	return string(data), len(data) <= ledgerBytes, nil
}

func (l ledger) find(uid types.UID) (entry, bool) {
	i := slices.IndexFunc(l.Entries, func(e entry) bool { return e.UID == uid })
	if i < 0 {
		return entry{}, false
	}
	return l.Entries[i], true
}

// with is the ledger with one more entry, in the place of an older one of the same pod.
func (l ledger) with(e entry) ledger {
	out := ledger{Takes: l.Takes, Entries: slices.DeleteFunc(slices.Clone(l.Entries), func(old entry) bool { return old.UID == e.UID })}
	out.Entries = append(out.Entries, e)
	return out
}

// join is the ledger with the entries of another.
func (l ledger) join(other ledger) ledger {
	for _, e := range other.Entries {
		l = l.with(e)
	}
	takes := slices.Concat(l.Takes, other.Takes)
	slices.SortFunc(takes, time.Time.Compare)
	l.Takes = takes[max(0, len(takes)-bucketSize):]
	return l
}

// kept is the ledger without what is too old, and with nothing of a time that has not come yet: a clock
// that was wrong for a while must not hold the ledger for longer.
func (l ledger) kept(now time.Time) ledger {
	var out ledger
	recent := func(times []time.Time) []time.Time {
		var kept []time.Time
		for _, t := range times {
			if t.After(now) {
				t = now
			}
			if now.Sub(t) < remembered {
				kept = append(kept, t)
			}
		}
		return kept
	}
	for _, e := range l.Entries {
		e.Times = recent(e.Times)
		if e.Back.After(now) {
			e.Back = now
		}
		if e.Out || len(e.Times) > 0 {
			out.Entries = append(out.Entries, e)
		}
	}
	out.Takes = recent(l.Takes)
	return out
}

// outs are the entries that count as out.
func (l ledger) outs() []entry {
	return slices.DeleteFunc(slices.Clone(l.Entries), func(e entry) bool { return !e.Out })
}

// settle brings an entry that is out up to date by the pod as it is now; nil is a pod that is gone. Of
// another version than the one that may be patched, and not held back, it was given back, or its patch was
// refused and will be.
func (e entry) settle(p *corev1.Pod) entry {
	if p == nil || p.UID != e.UID || leaving(p) {
		e.Out = false
		return e
	}
	e.Node = p.Spec.NodeName
	seen, _ := podOf(p)
	if seen.out() || p.ResourceVersion == e.Version {
		return e
	}
	e.Out = false
	if seen.gate == nil {
		return e
	}
	e.Back = seen.gate.LastTransitionTime.Time
	switch seen.gate.Reason {
	case reasonRecovered:
		e.Unhelped = 0
	case reasonTooLong, reasonStale:
		e.Unhelped++
	}
	return e
}

// refuse says which brake of the budget keeps a pod in, which is given as its entry would be if it were new; the
// reason is empty where none does.
func (l ledger) refuse(p entry, b bounds, now time.Time) (reason, message string) {
	mine, _ := l.find(p.UID)
	outs := l.outs()
	switch {
	case mine.Unhelped >= unhelpedMost:
		return brakeNoEffect, "it was taken out twice and did not recover, so taking it out does not help; it is left in service for a day"
	case len(mine.Times) >= b.maxTimesADay:
		return brakeExhausted, fmt.Sprintf("it was taken out %d times in 24 hours, which is as often as the policy allows (maxTimesADay)", len(mine.Times))
	case len(outs) >= b.maxOut:
		return brakeMaxOut, fmt.Sprintf("%d pods of the cluster are out of service, which is as many as the policy allows (maxOut)", len(outs))
	}
	// The pause doubles with each time that this pod was taken out, and begins when it was given back.
	if n := len(mine.Times); n > 0 {
		since := mine.last()
		if mine.Back.After(since) {
			since = mine.Back
		}
		if wait := b.apart<<min(n, 8) - now.Sub(since); wait > 0 {
			return brakeTooSoon, fmt.Sprintf("it was taken out before; the next time is in %s", wait.Round(time.Second))
		}
	}
	for _, e := range l.Entries {
		wait := b.apart - now.Sub(e.last())
		switch {
		case e.UID == p.UID || wait <= 0:
		case e.Workload == p.Workload:
			return brakeTooSoon, fmt.Sprintf("pod %s of the same workload was taken out a short time ago; the next may be in %s", e.Pod, wait.Round(time.Second))
		// Pods of one node that fail have the node in common.
		case e.Node == p.Node && p.Node != "":
			return brakeTooSoon, fmt.Sprintf("pod %s/%s of the same node %s was taken out a short time ago; the next may be in %s", e.Namespace, e.Pod, e.Node, wait.Round(time.Second))
		}
	}
	return l.empty(p.Namespace, now)
}

// empty says that the bucket of the cluster is empty, or a namespace's part of it.
func (l ledger) empty(namespace string, now time.Time) (reason, message string) {
	const span = bucketSize * bucketEvery
	if len(l.Takes) >= bucketSize {
		if wait := span - now.Sub(l.Takes[len(l.Takes)-bucketSize]); wait > 0 {
			return brakeTooSoon, fmt.Sprintf("%d pods of the cluster were taken out in a short time; the next may be in %s", bucketSize, wait.Round(time.Second))
		}
	}
	var takes []time.Time
	for _, e := range l.Entries {
		if e.Namespace == namespace {
			takes = append(takes, e.Times...)
		}
	}
	slices.SortFunc(takes, time.Time.Compare)
	if len(takes) >= namespaceSize {
		if wait := span - now.Sub(takes[len(takes)-namespaceSize]); wait > 0 {
			return brakeTooSoon, fmt.Sprintf("%d pods of namespace %s were taken out in a short time; the next may be in %s", namespaceSize, namespace, wait.Round(time.Second))
		}
	}
	return "", ""
}

// reserve enters that a pod is about to be taken out.
func (l ledger) reserve(p *corev1.Pod, r *record, b bounds, now time.Time) ledger {
	e := entryOf(p)
	if old, known := l.find(p.UID); known {
		e.Times, e.Back, e.Unhelped = old.Times, old.Back, old.Unhelped
	}
	e.Check, e.CheckName = r.check.UID, r.check.Name
	e.Version, e.Out = p.ResourceVersion, true
	e.Times = append(slices.Clone(e.Times), now.Truncate(time.Second))
	e.StaleAfter, e.Longest = staleAfter(r.period()), b.longest
	out := l.with(e)
	takes := append(slices.Clone(l.Takes), now.Truncate(time.Second))
	out.Takes = takes[max(0, len(takes)-bucketSize):]
	return out
}

// staleAfter is for how long a verdict counts that nobody confirms: three periods, and 90 seconds at least.
func staleAfter(period time.Duration) time.Duration { return max(3*period, 90*time.Second) }

// minReadyPercent that a check asks for. Zero stands for the default
// (api/maek/v1alpha1/checkconnection_types.go).
func minReadyPercent(check *v1alpha1.Check) int {
	return threshold(check.Spec.TakeOutOfService.MinReadyPercent, 50)
}
