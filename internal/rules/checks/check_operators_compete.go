package checks

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CheckOperatorsCompete",
	Title: finding.Text{EN: "checks are run twice", KO: "check가 중복 실행됩니다"},
	Doc: finding.Text{
		EN: "A Kuberhealthy and Maek's operator both run the checks of one API: each starts pods for every check, and their results overwrite each other, so that reports are refused as not of the present run. " +
			"Told from fresh records of Maek's operator about checks of that API, beside states that a Kuberhealthy's pod wrote lately (version 2) or a Lease that it renews (version 3). " +
			"Silent while Maek's operator leaves the checks to a Kuberhealthy that is alive, as it does until it is told to adopt them, and while each serves another API.",
		KO: "Kuberhealthy와 Maek operator가 같은 API의 check를 함께 실행합니다. check마다 Pod가 두 번 생성되고 결과를 서로 덮어쓰므로, 현재 실행의 것이 아니라는 이유로 보고가 거부됩니다. " +
			"해당 API의 check에 대한 Maek operator의 최근 기록과, Kuberhealthy Pod가 최근에 쓴 state(버전 2) 또는 갱신 중인 Lease(버전 3)가 함께 있으면 판단합니다. " +
			"Maek operator가 살아 있는 Kuberhealthy에 check를 맡겨 둔 동안(adopt를 지시하기 전까지의 기본 동작), 그리고 서로 다른 API를 담당하는 경우는 제외합니다.",
	},
	Link:     "https://github.com/kuberhealthy/kuberhealthy/blob/master/docs/CONFIGURATION.md",
	Severity: finding.Warning,
	Needs:    checkNeeds(runnerNeeds()...),
	Detect: func(p *rule.Pass) {
		for _, rival := range []*rivalry{rivalsOfV2(p), rivalsOfV3(p)} {
			if rival != nil {
				p.Report(checksRunTwice(p, rival))
			}
		}
	},
})

// recordedLately is how old a record may be that tells of one who runs checks now: it is written every few
// minutes.
const recordedLately = 15 * time.Minute

// rivalry is two who run the checks of one API.
type rivalry struct {
	definition finding.Subject
	namespace  string
	evidence   []finding.Evidence
}

// ownRecord is the newest fresh record of Maek's operator about a check of an API.
func ownRecord(p *rule.Pass, apiVersion string) *v1alpha1.CheckRecord {
	var newest *v1alpha1.CheckRecord
	for _, r := range snapshot.List[*v1alpha1.CheckRecord](p.Snapshot) {
		if r.Check.APIVersion == apiVersion && p.Now().Sub(r.WrittenAt.Time) <= recordedLately && (newest == nil || r.WrittenAt.After(newest.WrittenAt.Time)) {
			newest = r
		}
	}
	return newest
}

func recordEvidence(r *v1alpha1.CheckRecord) finding.Evidence {
	return finding.Evidence{Source: "CheckRecord " + r.Namespace + "/" + r.Name, Path: ".writer", Value: finding.Quote(r.Writer), At: finding.Timestamp(r.WrittenAt.Time)}
}

func rivalsOfV2(p *rule.Pass) *rivalry {
	own := ownRecord(p, khv1.GroupVersion.String())
	if own == nil {
		return nil
	}
	alive := map[string]*corev1.Pod{}
	for _, pod := range ready(runnersOf(p.Snapshot).kuberhealthy) {
		alive[pod.Name] = pod
	}
	for _, state := range snapshot.List[*khv1.KuberhealthyState](p.Snapshot) {
		pod, theirs := alive[state.Spec.AuthoritativePod]
		if !theirs || state.Spec.LastRun == nil || p.Now().Sub(state.Spec.LastRun.Time) > recordedLately {
			continue
		}
		return &rivalry{
			definition: finding.Subject{Kind: "CustomResourceDefinition", Name: snapshot.KindOf[*khv1.KuberhealthyCheck]().GroupResource()}, namespace: pod.Namespace,
			evidence: []finding.Evidence{recordEvidence(own), {
				Source: finding.Named(snapshot.SubjectOf(state)), Path: ".spec.AuthoritativePod", Value: finding.Quote(state.Spec.AuthoritativePod), At: finding.Timestamp(state.Spec.LastRun.Time),
			}},
		}
	}
	return nil
}

func rivalsOfV3(p *rule.Pass) *rivalry {
	own := ownRecord(p, khv2.GroupVersion.String())
	if own == nil {
		return nil
	}
	for _, lease := range living(p.Snapshot, runnersOf(p.Snapshot).leading) {
		return &rivalry{
			definition: finding.Subject{Kind: "CustomResourceDefinition", Name: snapshot.KindOf[*khv2.HealthCheck]().GroupResource()}, namespace: lease.Namespace,
			evidence: append([]finding.Evidence{recordEvidence(own)}, p.Writer(snapshot.Writer{Namespace: lease.Namespace, Name: lease.Name}).Evidence...),
		}
	}
	return nil
}

func checksRunTwice(p *rule.Pass, r *rivalry) finding.Finding {
	f := finding.Finding{
		Subject: r.definition, Mechanism: v1alpha1.MechanismMisconfigured, Evidence: r.evidence,
		Title: finding.Textf("%s: a Kuberhealthy in namespace %s and Maek's operator both run the checks", "%s: namespace %s의 Kuberhealthy와 Maek operator가 check를 함께 실행합니다", r.definition.Name, r.namespace),
		Why: finding.Textf("Both wrote results of such checks within the last %s. Each check runs twice, and reports of the one are refused by the other.",
			"최근 %s 안에 둘 다 결과를 기록했습니다. check가 중복 실행되고, 한쪽의 보고를 다른 쪽이 거부합니다.", finding.Duration(recordedLately)),
	}
	command := "kubectl get deployments -A | grep kuberhealthy"
	for _, d := range runnersOf(p.Snapshot).deployments {
		if d.Namespace == r.namespace && runnerImage(&d.Spec.Template.Spec) == kuberhealthyImage {
			command = "kubectl -n " + d.Namespace + " scale deployment " + d.Name + " --replicas=0"
		}
	}
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Textf("stop the Kuberhealthy, if Maek is to run the checks", "Maek이 check를 실행하게 하려면 Kuberhealthy를 중지합니다"),
		Command: command,
	}}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Textf(
		"remove the one that is not wanted with the tool that installed it", "사용하지 않을 쪽을 설치했던 도구로 제거합니다")}}
	return f
}
