package controlplane

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "ApiServerNotReady",
	Title: finding.Text{
		EN: "API server not ready",
		KO: "API server가 준비되지 않았습니다",
	},
	Doc: finding.Text{
		EN: "The API server answers and one of its own checks in /readyz fails. A failing check of etcd means that it cannot read or write anything: the controller " +
			"manager and the scheduler then lose their Leases and end, which is an effect. Checks that only fail while a server starts (poststarthook/…, informer-sync) or " +
			"ends (shutdown) are a warning: it is on its way. Green checks are not yet health: a full etcd leaves them green.",
		KO: "API server가 응답하지만 자체 점검(/readyz) 중 일부가 실패합니다. etcd 점검이 실패하면 아무것도 읽거나 쓸 수 없으며, 그 결과로 controller manager와 scheduler가 Lease를 잃고 종료됩니다. " +
			"시작 중(poststarthook/…, informer-sync)이거나 종료 중(shutdown)일 때만 실패하는 점검은 warning입니다. 모든 점검이 통과해도 정상이라는 뜻은 아닙니다. etcd 용량이 가득 차도 점검은 통과합니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/using-api/health-checks/",
	Severity: finding.Critical,
	Causes:   []rule.Cause{{Code: "EtcdUnavailable", Via: rule.Cluster, Holds: failsOverEtcd}},
	Detect:   detectAPIServerNotReady,
})

func detectAPIServerNotReady(p *rule.Pass) {
	if !asked(p) {
		return
	}
	api := p.API()
	if api.Failure != nil && api.Failure.Layer != snapshot.LayerReadiness {
		return
	}
	if api.Failure == nil && len(api.Checks) == 0 {
		p.Skip(finding.Text{
			EN: "/readyz of the API server could not be read",
			KO: "API server의 /readyz를 읽지 못했습니다",
		})
		return
	}
	checks := failedChecks(api.Checks)
	if len(checks) == 0 && api.Failure == nil {
		return
	}
	p.Report(notReady(api, checks))
}

// failsOverEtcd tells whether it is a check of etcd that fails.
func failsOverEtcd(s *snapshot.Snapshot, _, _ finding.Finding) bool {
	return slices.ContainsFunc(failedChecks(s.API().Checks), concernsEtcd)
}

func failedChecks(all []snapshot.HealthCheck) []snapshot.HealthCheck {
	var out []snapshot.HealthCheck
	for _, c := range all {
		if !c.OK {
			out = append(out, c)
		}
	}
	return out
}

// concernsEtcd tells whether a check asks etcd: etcd, etcd-readiness, etcd-override-0 and so on
// (k8s.io/apiserver/pkg/server/options/etcd.go, addEtcdHealthEndpoint).
func concernsEtcd(c snapshot.HealthCheck) bool { return strings.HasPrefix(c.Name, "etcd") }

// lasting tells whether a check is none of those that fail in every server that starts or ends
// (k8s.io/apiserver/pkg/server: hooks.go, healthz.NewShutdownHealthz, NewInformerSyncHealthz).
func lasting(c snapshot.HealthCheck) bool {
	return !strings.HasPrefix(c.Name, "poststarthook/") && c.Name != "informer-sync" && c.Name != "shutdown"
}

func notReady(api snapshot.API, checks []snapshot.HealthCheck) finding.Finding {
	names := make([]string, 0, len(checks))
	f := finding.Finding{Subject: endpoint(api), Mechanism: v1alpha1.MechanismFailing}
	if api.Failure != nil {
		f.Evidence = append(f.Evidence, failureEvidence(api))
	}
	const readable = 4
	for i, c := range checks {
		names = append(names, c.Name)
		if i < readable {
			f.Evidence = append(f.Evidence, finding.Evidence{Source: source(api), Path: "/readyz " + c.Name, Value: finding.Quote(c.Message)})
		}
	}
	list := finding.Quote(strings.Join(names, ", "))
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Text{EN: "see the checks as they are now", KO: "현재 점검 결과를 확인합니다"},
		Command: "kubectl get --raw '/readyz?verbose'",
	}}
	switch {
	case len(checks) == 0:
		f.Title = finding.Textf("API server %s is not ready", "API server(%s)가 준비되지 않았습니다", f.Subject.Name)
		f.Why = finding.Textf("It answers that it is not ready: %s.", "준비되지 않았다고 응답합니다: %s.", finding.Quote(api.Failure.Message))
	case slices.ContainsFunc(checks, concernsEtcd):
		f.Title = finding.Textf("API server %s is not ready: etcd does not answer it (%s)", "API server(%s)가 준비되지 않았습니다: etcd가 응답하지 않습니다(%s)", f.Subject.Name, list)
		f.Why = finding.Join(" ", finding.Textf("It runs, and its checks %s fail: it can neither read from etcd nor write to it. Controllers and the scheduler lose their Leases through it; they are not the cause.",
			"실행 중이지만 %s 점검이 실패합니다. etcd에서 읽지도 쓰지도 못하는 상태입니다. controller와 scheduler가 Lease를 잃는 것은 그 결과이며 원인이 아닙니다.", list), whileAway)
		f.RuledOut = []finding.Statement{{Text: finding.Text{EN: "the kube-apiserver process: it answers", KO: "kube-apiserver 프로세스: 응답합니다"}}}
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{Text: finding.Text{
			EN: "on each machine that runs etcd: `crictl ps -a --name etcd`, `df -h /var/lib/etcd` and etcd's log; with three members, two must run",
			KO: "etcd가 있는 각 머신에서 `crictl ps -a --name etcd`, `df -h /var/lib/etcd`와 etcd 로그를 확인합니다. member가 3개이면 2개가 실행되어야 합니다",
		}})
		f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
			EN: "run three etcd members on disks of their own, and take snapshots",
			KO: "etcd member 3개를 전용 디스크에서 운영하고 etcd snapshot을 정기적으로 저장합니다",
		}}}
	case !slices.ContainsFunc(checks, lasting):
		f.Severity = finding.Warning
		f.Mechanism = v1alpha1.MechanismDegraded
		f.Title = finding.Textf("API server %s is starting or ending (%s)", "API server(%s)가 시작 또는 종료 중입니다(%s)", f.Subject.Name, list)
		f.Why = finding.Textf("Only checks fail that fail in every API server while it starts or ends: %s. If that lasts for minutes, the server cannot finish its start.",
			"시작하거나 종료하는 동안에만 실패하는 점검입니다: %s. 몇 분 동안 계속되면 시작을 끝내지 못하는 것입니다.", list)
	default:
		f.Title = finding.Textf("API server %s is not ready: %s", "API server(%s)가 준비되지 않았습니다: %s", f.Subject.Name, list)
		f.Why = finding.Textf("It runs, and its checks %s fail. Its log says why where it runs with --v=2 or more.",
			"실행 중이지만 %s 점검이 실패합니다. --v=2 이상으로 실행 중이면 이유가 로그에 남습니다.", list)
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{Text: finding.Text{
			EN: "on a control-plane machine: `crictl logs $(crictl ps -q --name kube-apiserver) 2>&1 | grep 'check failed'`",
			KO: "control plane 머신에서 `crictl logs $(crictl ps -q --name kube-apiserver) 2>&1 | grep 'check failed'`로 로그를 확인합니다",
		}})
	}
	return f
}
