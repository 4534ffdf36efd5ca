package target

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// maxInterned is how many different values an interner keeps. Beyond it some are kept twice in the cache,
// which costs memory and nothing else.
const maxInterned = 1 << 14

// interner keeps one of equal values. The pods of a workload have the same containers and mostly the same
// labels, and a container alone is three quarters of a kilobyte of fields that nobody reads.
type interner[T any] struct {
	mu   sync.Mutex
	kept map[string]T
}

// one returns the first value that was given under this key.
func (i *interner[T]) one(key string, value T) T {
	i.mu.Lock()
	defer i.mu.Unlock()
	if kept, found := i.kept[key]; found {
		return kept
	}
	if i.kept == nil || len(i.kept) >= maxInterned {
		i.kept = map[string]T{}
	}
	i.kept[key] = value
	return value
}

// podTrimmer trims pods. What they share must not be changed, as nothing that a cache holds must.
type podTrimmer struct {
	containers interner[[]corev1.Container]
	labels     interner[map[string]string]
}

func (p *podTrimmer) sharedContainers(containers []corev1.Container) []corev1.Container {
	var key strings.Builder
	kept := make([]corev1.Container, len(containers))
	for i := range containers {
		kept[i].Name, kept[i].Ports = containers[i].Name, containers[i].Ports
		key.WriteString("\n" + kept[i].Name)
		for _, port := range kept[i].Ports {
			for _, part := range []string{port.Name, strconv.Itoa(int(port.ContainerPort)), string(port.Protocol), strconv.Itoa(int(port.HostPort)), port.HostIP} {
				key.WriteString("\t" + part)
			}
		}
	}
	return p.containers.one(key.String(), kept)
}

func (p *podTrimmer) sharedLabels(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		key.WriteString(name + "\t" + labels[name] + "\n")
	}
	return p.labels.one(key.String(), labels)
}
