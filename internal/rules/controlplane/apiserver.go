package controlplane

import (
	"fmt"
	"net"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// whileAway says what an API server that nobody can use means for the cluster, and what it does
// not mean (https://kubernetes.io/docs/tasks/debug/debug-cluster/, "API server VM shutdown").
var whileAway = finding.Text{
	EN: "Until it is back nothing can be started, stopped or changed; pods that run go on running, and so do the Services between them.",
	KO: "복구될 때까지 아무것도 시작, 중지, 변경할 수 없습니다. 실행 중인 Pod와 그 사이의 Service는 계속 동작합니다.",
}

// maybeWell says that the trouble may be this client's alone.
var maybeWell = finding.Text{
	EN: "The cluster itself may be well.",
	KO: "클러스터 자체는 정상일 수 있습니다.",
}

// onlyFromHere says what one place to look from cannot tell.
var onlyFromHere = finding.Text{
	EN: "This is what is seen from here; another machine may still reach it.",
	KO: "여기에서 본 결과이며, 다른 머신에서는 연결될 수 있습니다.",
}

// asked tells whether anybody tried to reach the API server, and skips the rule where nobody did.
func asked(p *rule.Pass) bool {
	if p.API().Asked {
		return true
	}
	p.Skip(finding.Text{
		EN: "nobody asked the API server: the snapshot holds no record of it",
		KO: "API server에 요청한 기록이 스냅샷에 없습니다",
	})
	return false
}

// endpoint is the API server as a subject.
func endpoint(api snapshot.API) finding.Subject {
	name := api.Server
	if name == "" {
		name = "kube-apiserver"
	}
	return finding.Subject{Kind: "Endpoint", Name: name}
}

// source names the API server in evidence.
func source(api snapshot.API) string { return "API server " + endpoint(api).Name }

// hostPort takes an address apart; without a port the whole is the host.
func hostPort(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, ""
	}
	return host, port
}

// answering parts addresses into those that accepted a connection and those that did not.
func answering(addresses []snapshot.Address) (open, shut []snapshot.Address) {
	for _, a := range addresses {
		if a.Error == "" {
			open = append(open, a)
		} else {
			shut = append(shut, a)
		}
	}
	return open, shut
}

// ofAddresses says which of several addresses answer; it is empty for a single one.
func ofAddresses(addresses []snapshot.Address) finding.Text {
	if len(addresses) < 2 {
		return finding.Text{}
	}
	open, _ := answering(addresses)
	if len(open) == 0 {
		return finding.Textf("(all %d of its addresses)", "(주소 %d개 모두)", len(addresses))
	}
	var names []string
	for _, a := range open {
		names = append(names, a.Address)
	}
	return finding.Textf("(%d of its %d addresses accept connections: %s)", "(주소 %[2]d개 중 %[1]d개만 연결됨: %[3]s)",
		len(open), len(addresses), strings.Join(names, ", "))
}

// failureEvidence tells what the request met with.
func failureEvidence(api snapshot.API) finding.Evidence {
	value := finding.Quote(api.Failure.Message)
	if api.Failure.Status != 0 {
		value = fmt.Sprintf("%d: %s", api.Failure.Status, value)
	}
	return finding.Evidence{Source: source(api), Path: string(api.Failure.Layer), Value: value}
}
