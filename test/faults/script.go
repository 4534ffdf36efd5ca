package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// scriptFile is the file of a scenario that says what is done on a control plane.
const scriptFile = "controlplane.yaml"

// Script is what is done on a control plane whose nodes are code. What steps do is undone in reverse
// order when the scenario is over: objects get back what they were, components run again, nodes heal.
type Script struct {
	// World, where set, is a control plane for this scenario alone, thrown away afterwards.
	World *WorldOptions `json:"world,omitempty"`
	// As is the user who diagnoses; an administrator when empty.
	As string `json:"as,omitempty"`
	// Inject brings the fault about.
	Inject []Step `json:"inject,omitempty"`
	// Armed is what holds when the fault is live.
	Armed []Expectation `json:"armed,omitempty"`
	// Restore does what undoing the steps does not.
	Restore []Step `json:"restore,omitempty"`
}

// WorldOptions are those of a control plane made for one scenario.
type WorldOptions struct {
	// EtcdMembers, 1 when zero.
	EtcdMembers int `json:"etcdMembers,omitempty"`
	// Flags added to those of a program, by its name.
	Flags map[string][]string `json:"flags,omitempty"`
	// SmallServiceRange leaves 30 addresses for Services.
	SmallServiceRange bool `json:"smallServiceRange,omitempty"`
}

// Step is one thing that is done. Exactly one of its fields is set.
type Step struct {
	// Apply makes objects, or merges them into those that are there.
	Apply []map[string]any `json:"apply,omitempty"`
	// Patch changes one object.
	Patch *Patch `json:"patch,omitempty"`
	// Delete removes an object, or all that have its labels.
	Delete *Reference `json:"delete,omitempty"`
	// Stop ends a component of the control plane, as when its manifest is moved away.
	Stop string `json:"stop,omitempty"`
	// Start runs a component again.
	Start string `json:"start,omitempty"`
	// Restart runs a component again with flags added.
	Restart *Restart `json:"restart,omitempty"`
	// Forget removes the data of an etcd member that does not run.
	Forget string `json:"forget,omitempty"`
	// Node gives a node a fault.
	Node *NodeFault `json:"node,omitempty"`
	// Program is what containers run from their next start on.
	Program *Program `json:"program,omitempty"`
	// Image is put into a registry.
	Image *Image `json:"image,omitempty"`
	// Usage fills a volume.
	Usage *Usage `json:"usage,omitempty"`
	// Drain asks for the eviction of every pod of a node, as a drain does, and cordons it.
	Drain string `json:"drain,omitempty"`
	// Fill makes copies of an object until one is refused.
	Fill *Fill `json:"fill,omitempty"`
	// Expire gives a component, kube-apiserver, a certificate that ended an hour ago.
	Expire string `json:"expire,omitempty"`
	// Flood lists pods again and again as a user, until the scenario is over.
	Flood *Flood `json:"flood,omitempty"`
	// Until waits.
	Until []Expectation `json:"until,omitempty"`
}

// Reference to an object, or to all that have labels.
type Reference struct {
	// APIVersion of the object.
	APIVersion string `json:"apiVersion"`
	// Kind of the object.
	Kind string `json:"kind"`
	// Namespace of the object; empty for what has none.
	Namespace string `json:"namespace,omitempty"`
	// Name of the object; empty for all that have the labels.
	Name string `json:"name,omitempty"`
	// Labels that the objects have.
	Labels map[string]string `json:"labels,omitempty"`
}

// Patch changes an object.
type Patch struct {
	Reference `json:",inline"`

	// Type of the patch: merge (the default), json or strategic.
	Type string `json:"type,omitempty"`
	// Subresource that is changed: status; the object itself when empty.
	Subresource string `json:"subresource,omitempty"`
	// IfThere leaves an object alone that does not exist.
	IfThere bool `json:"ifThere,omitempty"`
	// Patch itself.
	Patch any `json:"patch"`
}

// Restart of a component.
type Restart struct {
	// Component by its name.
	Component string `json:"component"`
	// Flags that it gets, in place of its own of the same name.
	Flags []string `json:"flags"`
}

// NodeFault is a fault of a node.
type NodeFault struct {
	// Name of the node.
	Name string `json:"name"`
	// Fault that it has from now on (controlplane.Fault).
	Fault string `json:"fault"`
}

// Program is what runs in containers.
type Program struct {
	// Namespace of the pods.
	Namespace string `json:"namespace"`
	// Labels of the pods.
	Labels map[string]string `json:"labels,omitempty"`
	// Container of the pods; every one when empty.
	Container string `json:"container,omitempty"`
	// Log that it writes.
	Log string `json:"log,omitempty"`
	// Exits with this code; never when nil.
	Exits *int32 `json:"exits,omitempty"`
	// After is how long it runs before.
	After metav1.Duration `json:"after,omitzero"`
	// Reason of its end.
	Reason string `json:"reason,omitempty"`
	// NotReady: its readiness probe fails.
	NotReady bool `json:"notReady,omitempty"`
}

// Image in a registry.
type Image struct {
	// Name with registry and tag.
	Name string `json:"name"`
	// Architecture for which it was built.
	Architecture string `json:"architecture"`
}

// Usage of a volume.
type Usage struct {
	// Namespace of the claim.
	Namespace string `json:"namespace"`
	// Claim whose volume is used.
	Claim string `json:"claim"`
	// Bytes that are used.
	Bytes int64 `json:"bytes"`
}

// Fill makes copies of an object.
type Fill struct {
	// Object that is copied; each copy has a number at the end of its name.
	Object map[string]any `json:"object"`
	// Count of copies at most.
	Count int `json:"count"`
	// Bytes of data in each, where it is a ConfigMap.
	Bytes int `json:"bytes,omitempty"`
}

// Flood of requests.
type Flood struct {
	// User who asks.
	User string `json:"user"`
	// AtOnce is how many requests are under way at any time.
	AtOnce int `json:"atOnce"`
}

// Expectation is what plain reads show. Exactly one of Get, Stopped, Running, ReadyzLacks is set.
type Expectation struct {
	// Get reads an object, or a list of those that have labels.
	Get *Reference `json:"get,omitempty"`
	// Path is a JSONPath into what was read.
	Path string `json:"path,omitempty"`
	// Matches is a regular expression for what Path yields.
	Matches string `json:"matches,omitempty"`
	// Absent: there is no such object.
	Absent bool `json:"absent,omitempty"`
	// Stopped component.
	Stopped string `json:"stopped,omitempty"`
	// Running component.
	Running string `json:"running,omitempty"`
	// ReadFails is a regular expression for the error that a LIST of namespaces ends with.
	ReadFails string `json:"readFails,omitempty"`
	// WriteFails is a regular expression for the error that making a ConfigMap ends with.
	WriteFails string `json:"writeFails,omitempty"`
	// CreateFails is a regular expression for the error that making an object ends with, in a dry run.
	CreateFails *CreateFails `json:"createFails,omitempty"`
}

// CreateFails is an object that cannot be made.
type CreateFails struct {
	// Object that is tried.
	Object map[string]any `json:"object"`
	// Matches is a regular expression for the error.
	Matches string `json:"matches"`
	// Really: not only in a dry run, for which some checks are left out.
	Really bool `json:"really,omitempty"`
}

// readScript reads the script of a scenario.
func readScript(dir string, expand func(string) string) (*Script, error) {
	data, err := os.ReadFile(filepath.Join(dir, scriptFile))
	if err != nil {
		return nil, fmt.Errorf("reading a script: %w", err)
	}
	var s Script
	if err := yaml.UnmarshalStrict([]byte(expandNames(string(data), expand)), &s); err != nil {
		return nil, fmt.Errorf("reading %s: %w", scriptFile, err)
	}
	for _, step := range append(s.Inject, s.Restore...) {
		if n := fieldsSet(step); n != 1 {
			return nil, fmt.Errorf("%s: a step does %d things", scriptFile, n)
		}
		if err := validExpectations(step.Until); err != nil {
			return nil, err
		}
	}
	if len(s.Armed) == 0 {
		return nil, fmt.Errorf("%s: nothing shows that the fault is live", scriptFile)
	}
	return &s, validExpectations(s.Armed)
}

func validExpectations(all []Expectation) error {
	for _, e := range all {
		for _, pattern := range []string{e.Matches, e.ReadFails, e.WriteFails} {
			if _, err := regexp.Compile(pattern); err != nil {
				return fmt.Errorf("%s: %w", scriptFile, err)
			}
		}
		if e.Get != nil && !e.Absent && (e.Path == "" || e.Matches == "") {
			return errors.New(scriptFile + ": what is read is held against a path and what it matches")
		}
	}
	return nil
}

func fieldsSet(step Step) int {
	n := 0
	for _, field := range reflect.ValueOf(step).Fields() {
		if !field.IsZero() {
			n++
		}
	}
	return n
}

// nameReference is a name in a scenario's files that is drawn anew in each run.
var nameReference = regexp.MustCompile(`\$\{([A-Z0-9_]+)\}`)

// expandNames replaces names such as ${WORKER}.
func expandNames(text string, expand func(string) string) string {
	return nameReference.ReplaceAllStringFunc(text, func(s string) string { return expand(s[2 : len(s)-1]) })
}

// Recorded says how a recording of a scenario was made: test/bundles/NAME/recorded.yaml.
type Recorded struct {
	// Environment in which it was made.
	Environment Environment `json:"environment"`
	// Names that were drawn for it.
	Names map[string]string `json:"names,omitempty"`
	// At is when.
	At time.Time `json:"at,omitzero"`
}
