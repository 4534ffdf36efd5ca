package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// addressesTold is how many addresses are told one by one.
const addressesTold = 4

// serverErrors is the first HTTP status by which a server says that the fault is its own (RFC 9110, 15.6).
const serverErrors = 500

// addressEvidence tells what each address of the API server answered, those that the cluster itself
// names included. Of a single one whose connection did not open the failure itself tells.
func addressEvidence(api snapshot.API) []finding.Evidence {
	all := slices.Concat(api.Addresses, api.Endpoints)
	if len(all) < 2 && !slices.ContainsFunc(all, seenInside) {
		return nil
	}
	var out []finding.Evidence
	for _, a := range all[:min(len(all), addressesTold)] {
		out = append(out, finding.Evidence{Source: source(api), Path: "dial " + a.Address, Value: answerOf(a)})
	}
	return out
}

// seenInside tells whether anything was seen of an address beyond its TCP connection.
func seenInside(a snapshot.Address) bool {
	return a.LiveStatus != 0 || a.Failure != nil || !a.CertificateNotAfter.IsZero()
}

// answerOf is all that one address answered, outermost layer first.
func answerOf(a snapshot.Address) string {
	if a.Error != "" {
		return finding.Quote(a.Error)
	}
	parts := []string{"connection opened"}
	if !a.CertificateNotAfter.IsZero() {
		parts = append(parts, fmt.Sprintf("certificate good from %s to %s", a.CertificateNotBefore.UTC().Format(time.RFC3339), a.CertificateNotAfter.UTC().Format(time.RFC3339)))
	}
	if a.Failure != nil {
		parts = append(parts, finding.Quote(a.Failure.Message))
	}
	if a.LiveStatus != 0 {
		parts = append(parts, fmt.Sprintf("/livez answers %d", a.LiveStatus))
	}
	return strings.Join(parts, "; ")
}

// eachAddress says in a sentence which address of several stops where: whoever goes to the machines
// must know to which. Empty where there is one.
func eachAddress(api snapshot.API) finding.Text {
	all := slices.Concat(api.Addresses, api.Endpoints)
	if len(all) < 2 {
		return finding.Text{}
	}
	var texts []finding.Text
	for _, a := range all[:min(len(all), addressesTold)] {
		texts = append(texts, finding.Format("%s %s", "%s %s", finding.Verbatim(a.Address), inWords(a)))
	}
	return finding.Format("One by one: %s.", "주소별 응답: %s.", finding.Join(" · ", texts...))
}

// inWords says how far one address lets a request come.
func inWords(a snapshot.Address) finding.Text {
	switch {
	case strings.Contains(a.Error, "refused"):
		return finding.Text{EN: "refuses", KO: "연결 거부"}
	case a.Error != "":
		return finding.Text{EN: "does not answer", KO: "응답 없음"}
	case a.Failure != nil && a.Failure.Reason == snapshot.CertificateExpired:
		return finding.Textf("shows a certificate that ended at %s", "인증서 만료(%s)", a.CertificateNotAfter.UTC().Format(time.RFC3339))
	case a.Failure != nil && a.Failure.Layer == snapshot.LayerTLS:
		return finding.Text{EN: "shows a certificate that does not hold", KO: "인증서 오류"}
	case a.Failure != nil:
		return finding.Text{EN: "takes connections and does not answer requests", KO: "연결되지만 요청에 응답 없음"}
	case a.LiveStatus >= serverErrors:
		return finding.Textf("says of itself that it does not live (/livez %d)", "/livez가 비정상(%d)", a.LiveStatus)
	case a.LiveStatus != 0:
		return finding.Text{EN: "lives", KO: "정상 응답"}
	default:
		return finding.Text{EN: "accepts connections", KO: "연결됨"}
	}
}
