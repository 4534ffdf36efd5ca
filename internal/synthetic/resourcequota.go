package synthetic

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fewNamespaces is up to how many chosen namespaces are asked one by one, which needs rights in them only.
const fewNamespaces = 20

var resourceQuotaOptions = []Option{
	{Name: "BLACKLIST", Doc: "Namespaces that are passed over, with commas between them."},
	{Name: "WHITELIST", Doc: "The only namespaces that are looked at, less those of BLACKLIST; without it all."},
	{Name: "THRESHOLD", Default: "0.9", Doc: "Share of a quota from which on it fails. What is not above 0 and at most 0.99 counts as 0.9, as in Kuberhealthy."},
	{Name: "CHECK_TIME_LIMIT", Doc: "Not used: the run's deadline holds."},
	{Name: "DEBUG", Default: "false", Doc: "true: the log tells of every quota."},
}

var _ = All.Add(Scenario{
	Name:          "resource-quota",
	Doc:           "Compares what namespaces use with their quotas. A failure means that pods will soon not be created there.",
	Images:        []string{"resource-quota-check"},
	Options:       resourceQuotaOptions,
	ClusterAccess: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"resourcequotas"}, Verbs: []string{"list"}}},
	Time:          2 * time.Minute,
	Run:           runResourceQuota,
})

func runResourceQuota(ctx context.Context, env Environment) (Result, error) {
	o := env.read(resourceQuotaOptions)
	passed, chosen, threshold, debug := o.list("BLACKLIST"), o.list("WHITELIST"), o.number("THRESHOLD"), o.boolean("DEBUG")
	if err := o.err(); err != nil {
		return Result{}, err
	}
	var result Result
	if threshold <= 0 || threshold > 0.99 {
		const usual = 0.9
		result.Notes = append(result.Notes, fmt.Sprintf("THRESHOLD is %v, which is not above 0 and at most 0.99: %v is taken", threshold, usual))
		threshold = usual
	}
	namespaces := []string{metav1.NamespaceAll}
	if len(chosen) > 0 && len(chosen) <= fewNamespaces {
		namespaces = chosen
	}
	slices.Sort(namespaces)
	for _, namespace := range slices.Compact(namespaces) {
		if namespace != "" && slices.Contains(passed, namespace) {
			continue
		}
		err := each(ctx, env.Client, &corev1.ResourceQuotaList{}, "resourcequotas", namespace, metav1.ListOptions{}, func(q *corev1.ResourceQuota) {
			if slices.Contains(passed, q.Namespace) || len(chosen) > 0 && !slices.Contains(chosen, q.Namespace) {
				return
			}
			if debug {
				env.Log.Info("a quota", "namespace", q.Namespace, "name", q.Name, "used", q.Status.Used, "hard", q.Status.Hard)
			}
			full, counts := exhausted(q, threshold)
			result.Errors = append(result.Errors, full...)
			result.Notes = append(result.Notes, counts...)
		})
		if err != nil {
			return Result{}, err
		}
	}
	return result, nil
}

// exhausted says which resources of a quota are used from the threshold on: those that pods need, and
// those that are only counted, of which people often allow just as many as there are.
func exhausted(q *corev1.ResourceQuota, threshold float64) (full, counts []string) {
	for _, name := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		hard, used := q.Status.Hard[name], q.Status.Used[name]
		if hard.Sign() <= 0 {
			continue // nothing of it is wanted here
		}
		share := used.AsApproximateFloat64() / hard.AsApproximateFloat64()
		if share < threshold {
			continue
		}
		text := fmt.Sprintf("%s for %s namespace has reached threshold of %4.2f: USED: %s LIMIT: %s PERCENT_USED: %6.3f (ResourceQuota %s)",
			name, q.Namespace, threshold, used.String(), hard.String(), share, q.Name)
		if needed(name) {
			full = append(full, text)
		} else {
			counts = append(counts, text)
		}
	}
	return full, counts
}

// needed tells whether pods cannot be created without a resource
// (https://kubernetes.io/docs/concepts/policy/resource-quotas/#compute-resource-quota).
func needed(name corev1.ResourceName) bool {
	bare := strings.TrimPrefix(strings.TrimPrefix(string(name), "requests."), "limits.")
	compute := []corev1.ResourceName{
		corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourceStorage, corev1.ResourcePods,
	}
	// The prefixes are also those of devices and huge pages, such as requests.nvidia.com/gpu.
	return bare != string(name) || slices.Contains(compute, name)
}
