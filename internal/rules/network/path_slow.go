package network

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PathSlow",
	Title: finding.Text{EN: "a machine's network is very slow", KO: "머신의 네트워크가 매우 느립니다"},
	Doc: finding.Text{
		EN: "An answer of 64 KiB from a machine takes more than half a second, or does not come whole, with everybody who asks it (or everything that it asks others for takes that long), and ten times less between the others. " +
			"The bandwidth of its side has collapsed: a limit, a port that negotiated a lower speed, an interface with errors, a saturated uplink. Image pulls and large answers crawl while small requests succeed. " +
			"One slow pair, and a network that is slow everywhere alike (machines far apart), are left alone.",
		KO: "한 머신에서 받는 64 KiB 응답이 누가 요청해도 0.5초를 넘거나 끝까지 오지 않고(또는 그 머신이 요청하는 모든 응답이 그렇고), 다른 머신 사이에서는 10배 이상 빠릅니다. " +
			"그 머신 쪽의 대역폭이 크게 줄었습니다. 대역폭 제한, 낮은 속도로 협상된 포트, 오류가 나는 인터페이스, 포화된 uplink가 원인일 수 있습니다. 작은 요청은 성공하지만 이미지 pull과 큰 응답은 매우 느립니다. " +
			"한 쌍만 느린 경우와 전체가 똑같이 느린 경우(먼 거리)는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/cluster-administration/networking/",
	Severity: finding.Warning,
	Needs:    meshNeeds(),
	Machine:  meshKeys,
	Causes:   []rule.Cause{{Code: "LinkFlapping", Via: rule.OnMachine}, {Code: "InterfaceErrors", Via: rule.OnMachine}, {Code: "InterfaceDown", Via: rule.OnMachine}},
	Detect:   detectPathSlow,
})

const (
	// slowFrom is how long 64 KiB take on a path that may be called slow: 1 Mbit/s carries them in it.
	slowFrom = 500 * time.Millisecond
	// slower is how many times longer they take than between other machines.
	slower = 10
	// gaveUp stands for an answer that did not come whole within the agent's 3 s.
	gaveUp = 3 * time.Second
)

// bulk is how long a large answer took on its way.
type bulk struct {
	way  way
	took time.Duration
	key  snapshot.EvidenceKey
}

func detectPathSlow(p *rule.Pass) {
	m := readMatrix(p)
	var all []bulk
	var times []time.Duration
	for _, by := range m.sources() {
		for _, peer := range m.peersOf(by) {
			key := snapshot.KeyOf("mesh", "peer", peer, "host-bulk")
			took, ok := by.Float(key)
			if !ok || m.absent[peer] || m.judge(way{peer, by.Node()}, hostNetwork) != fine || m.excused(peer) {
				continue
			}
			b := bulk{way: way{peer, by.Node()}, took: time.Duration(took * float64(time.Second)), key: key}
			if took < 0 {
				b.took = gaveUp
			}
			all, times = append(all, b), append(times, b.took)
		}
	}
	if len(all) < 2 {
		return
	}
	slices.Sort(times)
	// The fastest quarter says what the network can do: with three machines, two thirds of all pairs may
	// involve the slow one.
	usual := times[len(times)/4]
	var good, bad []way
	for _, b := range all {
		if b.took >= slowFrom && b.took >= slower*usual {
			bad = append(bad, b.way)
		} else {
			good = append(good, b.way)
		}
	}
	if len(good) == 0 {
		return
	}
	for _, b := range shareOut(good, bad).nodes {
		p.Report(slowFinding(m, b, all, usual))
	}
}

func slowFinding(m *matrix, b blame, all []bulk, usual time.Duration) finding.Finding {
	f := finding.Finding{
		Subject:   machineSubject(b.node),
		Mechanism: v1alpha1.MechanismDegraded,
		RuledOut:  []finding.Statement{{Text: finding.Text{EN: "lost packets: beacons arrive", KO: "패킷 손실: beacon이 도착합니다"}}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "limits, errors, and the speed that the port negotiated", KO: "대역폭 제한, 오류, 포트가 협상한 속도를 확인합니다"},
					Command: "tc -s qdisc show; ip -s link; for i in /sys/class/net/*/speed; do echo $i $(cat $i 2>/dev/null); done", Machine: b.node,
				},
				{
					Text:    finding.Text{EN: "what fills the line", KO: "대역폭을 많이 쓰는 연결을 확인합니다"},
					Command: "ss -tinp | grep -B1 -E 'bytes_sent:[0-9]{8,}' | head -40", Machine: b.node,
				},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "watch the speed and the errors of every machine's port",
				KO: "모든 머신 포트의 속도와 오류를 모니터링합니다",
			}}},
		},
	}
	slices.SortStableFunc(all, func(x, y bulk) int { return cmp.Compare(y.took, x.took) })
	worst := time.Duration(0)
	for _, one := range all {
		if !slices.Contains(b.ways, one.way) {
			continue
		}
		worst = max(worst, one.took)
		if len(f.Evidence) < 3 {
			f.Evidence = append(f.Evidence, m.reports[one.way.to].Evidence(one.key))
		}
	}
	took := finding.Textf("up to %.1f s", "최대 %.1f초", worst.Seconds())
	if worst >= gaveUp {
		took = finding.Text{EN: "more than 3 s", KO: "3초 이상"}
	}
	what := finding.Text{EN: "what it sends", KO: "보내는 데이터"}
	if !b.out {
		what = finding.Text{EN: "what it receives", KO: "받는 데이터"}
	}
	f.Title = finding.Format("machine %s: %s crawls: 64 KiB take %s", "머신 %s: %s가 매우 느립니다: 64 KiB에 %s", finding.Verbatim(b.node), what, took)
	f.Why = finding.Format("64 KiB between %s and each of %s take %s, and %s elsewhere. Small packets arrive.",
		"%s와 %s 사이에서 64 KiB를 보내는 데 %s 걸리며, 다른 곳에서는 %s입니다. 작은 패킷은 도착합니다.",
		finding.Verbatim(b.node), finding.List(b.others()), took, finding.Verbatim(fmt.Sprint(usual.Round(time.Millisecond))))
	return f
}
