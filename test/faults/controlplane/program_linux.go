package controlplane

import (
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Program is what runs in a container: what it writes, and whether and how it ends.
type Program struct {
	// Namespace of the pods that run it.
	Namespace string `json:"namespace"`
	// Labels of the pods that run it.
	Labels map[string]string `json:"labels"`
	// Container of these pods; every one when empty.
	Container string `json:"container,omitempty"`
	// Log that it writes when it starts.
	Log string `json:"log,omitempty"`
	// Exits with this code; nil when it runs on.
	Exits *int32 `json:"exits,omitempty"`
	// After is how long it runs before it exits, in nanoseconds.
	After time.Duration `json:"after,omitempty"`
	// Reason of its end in the words of the container runtime; from the code when empty.
	Reason string `json:"reason,omitempty"`
	// NotReady: its readiness probe fails.
	NotReady bool `json:"notReady,omitempty"`
	// RestartAnyway: whatever the pod's restart policy says.
	RestartAnyway bool `json:"-"`
}

// programs are those that scenarios have set, and the images that registries have.
type programs struct {
	mu     sync.Mutex
	set    []Program
	images map[string]string // to its architecture
}

// SetProgram lets containers run something else from their next start on. It returns how to undo it.
func (w *World) SetProgram(p Program) func() {
	w.programs.mu.Lock()
	defer w.programs.mu.Unlock()
	key := &p
	w.programs.set = append(w.programs.set, p)
	return func() {
		w.programs.mu.Lock()
		defer w.programs.mu.Unlock()
		w.programs.set = slices.DeleteFunc(w.programs.set, func(q Program) bool {
			return q.Namespace == key.Namespace && q.Container == key.Container && q.Log == key.Log
		})
	}
}

// SetImage puts an image for a machine architecture into its registry.
func (w *World) SetImage(name, architecture string) {
	w.programs.mu.Lock()
	defer w.programs.mu.Unlock()
	if w.programs.images == nil {
		w.programs.images = map[string]string{}
	}
	w.programs.images[name] = architecture
}

// hasImage tells whether a registry has an image: every 1.x of the application, and all that comes
// from the project's registry.
func (p *programs) hasImage(image string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, set := p.images[image]
	return set || strings.HasSuffix(image, ":1.0.0") || strings.HasSuffix(image, ":1.1.0") || strings.HasPrefix(image, "registry.k8s.io/")
}

// isCached tells whether every node has an image already.
func (p *programs) isCached(image string) bool {
	return strings.HasSuffix(image, ":1.0.0") || strings.HasPrefix(image, "registry.k8s.io/")
}

// of returns what a container runs.
func (p *programs) of(pod *corev1.Pod, spec *corev1.Container) Program {
	p.mu.Lock()
	defer p.mu.Unlock()
	if arch := p.images[spec.Image]; arch != "" && arch != "amd64" {
		return Program{Log: "exec /" + spec.Name + ": exec format error", Exits: new(int32(255))}
	}
	for _, q := range slices.Backward(p.set) {
		if q.Namespace == pod.Namespace && (q.Container == "" || q.Container == spec.Name) && matches(q.Labels, pod.Labels) {
			return q
		}
	}
	return natural(pod, spec)
}

func matches(wanted, have map[string]string) bool {
	for k, v := range wanted {
		if have[k] != v {
			return false
		}
	}
	return true
}
