package controlplane

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ObjectCountExplosion",
	Title: finding.Text{EN: "far too many objects of a kind", KO: "한 종류의 객체가 지나치게 많습니다"},
	Doc: finding.Text{
		EN: "The cluster stores more than 50,000 objects of one resource, and more than five times as many as it has pods: finished Jobs that nobody cleans up, an event storm, ConfigMaps or custom resources that a program makes and " +
			"forgets. Lists of them slow the API server down and take its memory, and they fill etcd. It is a warning from 200,000 on, and info below. Pods, and what belongs to each pod of a large cluster, are left alone.",
		KO: "한 리소스의 객체가 50,000개를 넘고 Pod 수의 5배를 넘습니다. 정리되지 않은 완료된 Job, event 폭증, 프로그램이 만들고 방치한 ConfigMap이나 custom resource가 원인입니다. 목록 조회가 API server를 느리게 하고 메모리를 차지하며 etcd 용량을 " +
			"채웁니다. 200,000개부터 warning, 그 아래는 info입니다. Pod와, 큰 클러스터에서 Pod마다 하나씩 있는 객체는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/best-practices/cluster-large/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Pod]()},
	Detect:   detectObjectCountExplosion,
})

const (
	// many is the number of objects of one resource from which it is told of. It is a third of the
	// 150,000 pods that Kubernetes is tested with, for a resource that is not pods.
	many = 50_000
	// far is the number from which lists of it are known to hurt.
	far = 200_000
	// perPod is how many objects of a resource a pod may account for.
	perPod = 5
	// askFrom is the number of objects of any kind that were read from which it is worth a question
	// how many there are of those that were not.
	askFrom = 20_000
)

// leftovers says for resources that are often left over how that comes about, and what prevents it.
var leftovers = map[string]finding.Text{
	"jobs.batch": {
		EN: "let finished Jobs be removed by themselves: .spec.ttlSecondsAfterFinished, or the history limits of their CronJob",
		KO: "완료된 Job이 자동으로 삭제되게 합니다: .spec.ttlSecondsAfterFinished 또는 CronJob의 history limit",
	},
	"events": {
		EN: "find what repeats itself, and let events expire sooner (--event-ttl of kube-apiserver)",
		KO: "반복해서 발생하는 event의 원인을 찾고, event 보존 기간(kube-apiserver의 --event-ttl)을 줄입니다",
	},
	"replicasets.apps": {
		EN: "keep fewer old revisions: .spec.revisionHistoryLimit of Deployments",
		KO: "이전 revision을 적게 보관합니다: Deployment의 .spec.revisionHistoryLimit",
	},
}

func detectObjectCountExplosion(p *rule.Pass) {
	counts := map[string]int{}
	crowded := false
	for _, k := range p.Kinds() {
		counts[k.GroupResource()] = p.Len(k)
		crowded = crowded || p.Len(k) >= askFrom
	}
	q := snapshot.Question{Kind: snapshot.APIServerMetrics}
	a, ok := p.Answer(q) // A recording may hold the answer.
	if !ok && crowded {
		a, ok = p.Ask(q)
	}
	if ok && a.Outcome == snapshot.Answered {
		m, _ := snapshot.ParseMetrics(a.Text) // What stands before a line that cannot be read is as good as ever.
		for resource, n := range m.ObjectCounts() {
			counts[resource] = max(counts[resource], n)
		}
	}
	pods := counts["pods"]
	for _, resource := range snapshot.Largest(counts, len(counts)) {
		n := counts[resource]
		if n < many {
			return
		}
		if resource == "pods" || n <= perPod*pods {
			continue
		}
		f := finding.Finding{
			Severity: finding.Info, Subject: finding.Subject{Kind: "Resource", Name: resource}, Mechanism: v1alpha1.MechanismExhausted,
			Title: finding.Textf("%[2]d objects of %[1]s are stored", "%[1]s 객체가 %[2]d개 저장되어 있습니다", resource, n),
			Why: finding.Textf("That is %d for each of the cluster's %d pods. Every list of them costs the API server time and memory, and they take room in etcd.",
				"Pod %[2]d개 기준으로 Pod당 %[1]d개입니다. 목록 조회마다 API server의 시간과 메모리를 사용하고 etcd 용량을 차지합니다.", n/max(1, pods), pods),
			Evidence: []finding.Evidence{{Source: "API server", Path: "number of " + resource, Value: strconv.Itoa(n)}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{{
					Text:    finding.Text{EN: "in which namespaces are they (a page at a time; it takes a while)", KO: "어느 namespace에 있는지 확인합니다(나누어 읽으므로 시간이 걸립니다)"},
					Command: "kubectl get " + resource + " -A --chunk-size=500 --no-headers -o custom-columns=NS:.metadata.namespace | sort | uniq -c | sort -rn | head",
				}, {Text: finding.Text{
					EN: "find who makes them, stop that, then delete what nobody needs, a few thousand at a time",
					KO: "만드는 주체를 찾아 중지한 뒤 필요 없는 객체를 수천 개씩 나누어 삭제합니다",
				}}},
				Later: []finding.Remedy{{Text: finding.Textf("limit them with a ResourceQuota on count/%s", "count/%s 항목의 ResourceQuota로 개수를 제한합니다", resource)}},
			},
		}
		if text, known := leftovers[resource]; known {
			f.Remedies.Later = slices.Insert(f.Remedies.Later, 0, finding.Remedy{Text: text})
		}
		if n >= far {
			f.Severity = finding.Warning
		}
		p.Report(f)
	}
}
