package resilience

import (
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// oldSnapshot is when a snapshot of etcd no longer helps much: what changed since is lost. Most run
// it daily; a missed day is no risk yet.
const oldSnapshot = 48 * time.Hour

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdSnapshotMissing",
	Title: finding.Text{EN: "no recent snapshot of etcd is visible", KO: "최근의 etcd snapshot이 보이지 않습니다"},
	Doc: finding.Text{
		EN: "etcd runs in this cluster, and no CronJob that takes snapshots of it has succeeded within two days, or there is none. Snapshots that a machine's own timer takes cannot be seen through the API: " +
			"it says so, and does not claim that there is none. An etcd outside the cluster is left alone.",
		KO: "이 클러스터에서 etcd가 실행되지만, snapshot을 만드는 CronJob이 이틀 안에 성공한 적이 없거나 그런 CronJob이 없습니다. 머신 자체의 timer가 만드는 snapshot은 API로 볼 수 없으므로 " +
			"없다고 단정하지 않습니다. 클러스터 밖의 etcd는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#backing-up-an-etcd-cluster",
	Severity: finding.Info,
	Risk:     true,
	Needs:    []rule.Need{rule.Whole[*corev1.Pod](), rule.Whole[*batchv1.CronJob]()},
	Detect: func(p *rule.Pass) {
		members := p.ControlPlanePods("etcd")
		if len(members) == 0 {
			return
		}
		machine := members[0].Spec.NodeName
		f := finding.Finding{
			Subject: finding.Subject{Kind: "Pod", Namespace: members[0].Namespace, Name: members[0].Name}, Mechanism: v1alpha1.MechanismMissing,
			Title:      finding.Text{EN: "no job that takes snapshots of etcd is visible", KO: "etcd snapshot을 만드는 작업이 보이지 않습니다"},
			Why:        finding.Text{EN: "no CronJob mentions etcd in its name or image and takes snapshots; a timer of the machine itself cannot be seen from here", KO: "이름이나 이미지에 etcd가 있고 snapshot을 만드는 CronJob이 없습니다. 머신 자체의 timer는 여기서 볼 수 없습니다"},
			Confidence: v1alpha1.ConfidenceMedium,
			Remedies: finding.Remedies{Later: []finding.Remedy{{
				Text:    finding.Text{EN: "see whether a timer of the machine takes them", KO: "머신의 timer가 snapshot을 만드는지 확인합니다"},
				Command: "systemctl list-timers | grep -i etcd; ls -l /var/backups/*.db", Machine: machine,
			}, {
				Text: finding.Text{EN: "take one every day, keep it on another machine, and try to restore it once", KO: "매일 snapshot을 만들어 다른 머신에 보관하고, 복원도 한 번 시험합니다"},
			}}},
		}
		for _, c := range snapshot.List[*batchv1.CronJob](p.Snapshot) {
			if !takesSnapshots(c) {
				continue
			}
			last := c.Status.LastSuccessfulTime
			if last != nil && p.Now().Sub(last.Time) < oldSnapshot {
				return
			}
			f.Subject = finding.Subject{Kind: "CronJob", Namespace: c.Namespace, Name: c.Name}
			f.Confidence = ""
			f.Title = finding.Textf("CronJob %s/%s has not taken a snapshot of etcd yet", "CronJob %s/%s가 아직 etcd snapshot을 만들지 못했습니다", c.Namespace, c.Name)
			if last != nil {
				f.Title = finding.Textf("the last snapshot of etcd is from %s", "마지막 etcd snapshot은 %s에 만들어졌습니다", finding.Clock(p.Now(), last.Time))
			}
			f.Why = finding.Textf("CronJob %s/%s takes them (schedule %q)", "CronJob %s/%s가 snapshot을 만듭니다(schedule %q)", c.Namespace, c.Name, c.Spec.Schedule)
			f.Evidence = []finding.Evidence{{Source: "CronJob " + c.Namespace + "/" + c.Name, Path: ".status.lastSuccessfulTime", Value: lastTime(last)}}
			f.Remedies.Later[0] = finding.Remedy{
				Text:    finding.Text{EN: "see how its last runs ended", KO: "최근 실행 결과를 확인합니다"},
				Command: "kubectl -n " + c.Namespace + " get jobs,pods --sort-by=.metadata.creationTimestamp",
			}
		}
		p.Report(f)
	},
})

// takesSnapshots tells whether a CronJob looks like one that saves etcd: its name or an image names
// etcd, and its name or a command speaks of saving.
func takesSnapshots(c *batchv1.CronJob) bool {
	about, saves := strings.Contains(c.Name, "etcd"), strings.Contains(c.Name, "snapshot") || strings.Contains(c.Name, "backup")
	spec := c.Spec.JobTemplate.Spec.Template.Spec
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for _, container := range containers {
			about = about || strings.Contains(container.Image, "etcd")
			said := strings.Join(append(container.Command, container.Args...), " ")
			saves = saves || strings.Contains(said, "snapshot save") || strings.Contains(said, "backup")
		}
	}
	return about && saves
}

func lastTime(t *metav1.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
