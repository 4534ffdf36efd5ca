package controlplane

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ApiServerOverloaded",
	Title: finding.Text{EN: "API server turns some requests away", KO: "API server가 일부 요청을 거절합니다"},
	Doc: finding.Text{
		EN: "The API server shares its capacity among priority levels, and one level has more requests than its share lets through: they wait in its queues or are turned away with 429. A client that lists in a loop, or a share that " +
			"somebody made too small, does that. It is critical where the level is one by which the cluster lives (system, node-high, leader-election, workload-high): nodes and controllers then seem to die. It is judged when " +
			"reads of this snapshot were answered 429, or a level's share was made tiny. Requests turned away in the past and levels that only are busy are left alone. An API server that turns away everything is ApiServerRejectsRequests.",
		KO: "API server는 처리 능력을 priority level로 나누는데, 한 level의 요청이 몫보다 많아 대기하거나 429로 거절됩니다. 반복해서 list하는 클라이언트나 지나치게 작게 설정된 몫이 원인입니다. 클러스터 유지에 필요한 level(system, node-high, " +
			"leader-election, workload-high)이면 노드와 controller가 죽은 것처럼 보이므로 critical입니다. 이 스냅샷을 읽을 때 429를 받았거나 몫이 아주 작은 level이 있을 때 판단합니다. 과거의 거절과 단순히 바쁜 level은 제외합니다. " +
			"모든 요청을 거절하면 ApiServerRejectsRequests입니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/flow-control/",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs:    []rule.Need{rule.Optional[*flowcontrolv1.PriorityLevelConfiguration](), rule.Optional[*flowcontrolv1.FlowSchema]()},
	Detect:   detectApiServerOverloaded,
})

// vital are the priority levels by which kubelets and the control plane keep the cluster going
// (k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go, SuggestedPriorityLevelConfigurations).
var vital = []string{"system", "node-high", "leader-election", "workload-high"}

const (
	// tiny is the number of concurrency shares below which a level hardly lets anything through: the
	// least that Kubernetes itself gives is the 5 of catch-all, which nothing should use.
	tiny = 5
	// ownManager writes the configuration that Kubernetes brings along
	// (k8s.io/kubernetes/pkg/registry/flowcontrol/ensurer/strategy.go, fieldManager).
	ownManager = "api-priority-and-fairness-config-producer-v1"
)

// tooMany are the words in which a client tells of 429
// (k8s.io/apimachinery/pkg/api/errors, NewGenericServerResponse).
var tooMany = []string{"too many requests", "asked us to try again later"}

func detectApiServerOverloaded(p *rule.Pass) {
	api := p.API()
	if !api.Asked || api.Failure != nil {
		return
	}
	refused := turnedAway(p.Snapshot)
	starved := starvedLevels(p.Snapshot)
	if len(refused) == 0 && len(starved) == 0 {
		return
	}
	a, ok := p.Ask(snapshot.Question{Kind: snapshot.APIServerMetrics})
	var levels []string
	var m snapshot.Metrics
	if ok && a.Outcome == snapshot.Answered {
		m, _ = snapshot.ParseMetrics(a.Text) // What stands before a line that cannot be read is as good as ever.
		levels = saturated(m)
	}
	for _, level := range levels {
		p.Report(overloadedLevel(p, level, m, refused))
	}
	if len(levels) == 0 && len(refused) > 0 {
		p.Report(finding.Finding{
			Subject: endpoint(api), Mechanism: v1alpha1.MechanismExhausted, Confidence: v1alpha1.ConfidenceMedium,
			Title: finding.Textf("API server %s turns some requests away: too many (429)", "API server(%s)가 일부 요청을 거절합니다: 요청이 너무 많습니다(429)", endpoint(api).Name),
			Why: finding.Text{
				EN: "Reads for this snapshot were answered 429. Which priority level is full, and by whom, its metrics and the command below tell.",
				KO: "이 스냅샷을 읽는 요청이 429를 받았습니다. 어느 priority level이 누구의 요청으로 찼는지는 metric과 아래 명령으로 확인합니다.",
			},
			Evidence: refused,
			Remedies: relieve(""),
		})
	}
}

// turnedAway returns the kinds whose reading was answered 429.
func turnedAway(s *snapshot.Snapshot) []finding.Evidence {
	const readable = 3
	var out []finding.Evidence
	for _, k := range s.Kinds() {
		c := s.Coverage(k)
		if len(out) < readable && slices.ContainsFunc(tooMany, func(w string) bool { return strings.Contains(c.Reason, w) }) {
			out = append(out, finding.Evidence{Source: "API server", Path: "list " + k.GroupResource(), Value: finding.Quote(c.Reason), At: finding.Timestamp(c.ReadAt)})
		}
	}
	return out
}

// starvedLevels returns the levels whose share is tiny.
func starvedLevels(s *snapshot.Snapshot) []string {
	var out []string
	for _, level := range snapshot.List[*flowcontrolv1.PriorityLevelConfiguration](s) {
		if l := level.Spec.Limited; l != nil && l.NominalConcurrencyShares != nil && *l.NominalConcurrencyShares < tiny {
			out = append(out, level.Name)
		}
	}
	return out
}

// saturated returns the levels that have all of their seats taken and requests that wait, sorted. To
// let requests wait is what a small level is for; one that turns them away, or a vital one, is in trouble.
func saturated(m snapshot.Metrics) []string {
	waiting := sum(m["apiserver_flowcontrol_current_inqueue_requests"])
	executing := sum(m["apiserver_flowcontrol_current_executing_seats"])
	nominal := sum(m["apiserver_flowcontrol_nominal_limit_seats"])
	rejected := sum(m["apiserver_flowcontrol_rejected_requests_total"])
	var out []string
	for _, name := range slices.Sorted(maps.Keys(waiting)) {
		if waiting[name] > 0 && executing[name] >= nominal[name] && (rejected[name] > 0 || slices.Contains(vital, name)) {
			out = append(out, name)
		}
	}
	return out
}

// sum adds the samples up by priority level.
func sum(samples []snapshot.Sample) map[string]float64 {
	out := map[string]float64{}
	for _, s := range samples {
		out[s.Labels["priority_level"]] += s.Value
	}
	return out
}

// busiest returns the flow schema of a level with the most of what the samples count.
func busiest(samples []snapshot.Sample, level string) (schema string, most float64) {
	of := map[string]float64{}
	for _, s := range samples {
		if s.Labels["priority_level"] == level {
			of[s.Labels["flow_schema"]] += s.Value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if of[name] > most {
			schema, most = name, of[name]
		}
	}
	return schema, most
}

func overloadedLevel(p *rule.Pass, level string, m snapshot.Metrics, refused []finding.Evidence) finding.Finding {
	waiting := sum(m["apiserver_flowcontrol_current_inqueue_requests"])[level]
	seats := sum(m["apiserver_flowcontrol_nominal_limit_seats"])[level]
	rejected := sum(m["apiserver_flowcontrol_rejected_requests_total"])[level]
	schema, _ := busiest(m["apiserver_flowcontrol_current_inqueue_requests"], level)
	if bySchema, most := busiest(m["apiserver_flowcontrol_rejected_requests_total"], level); most > 0 {
		schema = cmp.Or(schema, bySchema)
	}
	f := finding.Finding{
		Subject: finding.Subject{Kind: "PriorityLevelConfiguration", Name: level}, Mechanism: v1alpha1.MechanismExhausted,
		Title: finding.Textf("API server: priority level %s is full, %d requests wait", "API server: priority level(%s)이 가득 차서 요청 %d개가 대기 중입니다", level, int(waiting)),
		Evidence: append([]finding.Evidence{{
			Source: "API server metrics", Path: "apiserver_flowcontrol priority_level=" + level,
			Value: fmt.Sprintf("%d seats, %d requests waiting, %d turned away since the server started", int(seats), int(waiting), int(rejected)),
		}}, refused...),
		Remedies: relieve(schema),
	}
	if slices.Contains(vital, level) {
		f.Severity = finding.Critical
	}
	harm := finding.Text{EN: "Clients of that level wait or get 429; the other levels are kept apart from it.", KO: "이 level의 클라이언트는 대기하거나 429를 받으며, 다른 level은 분리되어 있습니다."}
	if f.Severity == finding.Critical {
		harm = finding.Text{
			EN: "Kubelets or the control plane's own components are in that level: Leases come late, nodes and leaders seem to die.",
			KO: "kubelet이나 control plane 구성 요소가 속한 level이므로 Lease 갱신이 늦어지고 노드와 leader가 죽은 것처럼 보입니다.",
		}
	}
	f.Why = finding.Join(" ", finding.Textf("All of its %d seats are taken.", "동시 처리 몫 %d개를 모두 사용하고 있습니다.", int(seats)), whoFills(p.Snapshot, schema), shareOf(p, level, &f), harm)
	return f
}

// whoFills says whose requests they are, as far as the flow schema tells.
func whoFills(s *snapshot.Snapshot, schema string) finding.Text {
	if schema == "" {
		return finding.Text{}
	}
	fs, ok := snapshot.Get[*flowcontrolv1.FlowSchema](s, "", schema)
	var who []string
	if ok {
		for _, r := range fs.Spec.Rules {
			for _, subject := range r.Subjects {
				switch {
				case subject.User != nil:
					who = append(who, subject.User.Name)
				case subject.Group != nil:
					who = append(who, subject.Group.Name)
				case subject.ServiceAccount != nil:
					who = append(who, "system:serviceaccount:"+subject.ServiceAccount.Namespace+":"+subject.ServiceAccount.Name)
				}
			}
		}
	}
	if len(who) == 0 {
		return finding.Textf("Most are of the flow schema %s.", "대부분 flow schema(%s)의 요청입니다.", schema)
	}
	return finding.Format("Most are of the flow schema %s, which stands for %s.", "대부분 flow schema(%s)의 요청이며 대상은 %s입니다.", finding.Verbatim(schema), finding.List(who))
}

// shareOf says how large the level's share is and who made it so, where it was not Kubernetes itself.
func shareOf(p *rule.Pass, level string, f *finding.Finding) finding.Text {
	l, ok := snapshot.Get[*flowcontrolv1.PriorityLevelConfiguration](p.Snapshot, "", level)
	if !ok || l.Spec.Limited == nil || l.Spec.Limited.NominalConcurrencyShares == nil {
		return finding.Text{}
	}
	shares := *l.Spec.Limited.NominalConcurrencyShares
	manager, at := snapshot.LastManager(l)
	f.Evidence = append(f.Evidence, finding.Evidence{
		Source: finding.Named(f.Subject), Path: ".spec.limited.nominalConcurrencyShares", Value: strconv.Itoa(int(shares)), At: finding.Timestamp(at),
	})
	if manager == "" || manager == ownManager {
		return finding.Text{}
	}
	f.Field = ".spec.limited.nominalConcurrencyShares"
	const lately = 24 * time.Hour
	if shares < tiny || p.Now().Sub(at) < lately {
		f.Mechanism, f.Since = v1alpha1.MechanismMisconfigured, at
	}
	return finding.Textf("Its share is %d, last changed at %s by %q.", "몫은 %d이며 마지막 변경은 %s, 변경 주체는 %q입니다.", shares, finding.Clock(p.Now(), at), manager)
}

// relieve is what to do about requests that are too many.
func relieve(schema string) finding.Remedies {
	out := finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "whose requests wait (user, verb, resource)", KO: "누구의 요청이 대기 중인지 확인합니다(user, verb, resource)"},
				Command: "kubectl get --raw '/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1'",
			},
			{Text: finding.Text{
				EN: "scale the client that sends them down; a share that was made too small is put back",
				KO: "요청을 보내는 클라이언트를 줄이고, 지나치게 작게 바뀐 몫은 되돌립니다",
			}},
		},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "let clients watch instead of listing in a loop, and give the noisy one a FlowSchema and a level of its own",
			KO: "클라이언트가 반복 list 대신 watch를 사용하게 하고, 요청이 많은 클라이언트에는 별도의 FlowSchema와 level을 지정합니다",
		}}},
	}
	if schema != "" {
		out.Now = slices.Insert(out.Now, 1, finding.Remedy{
			Text:    finding.Text{EN: "which clients fall into that flow schema", KO: "그 flow schema에 해당하는 클라이언트를 확인합니다"},
			Command: "kubectl describe flowschema " + schema,
		})
	}
	return out
}
