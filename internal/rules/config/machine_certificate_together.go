package config

import (
	"cmp"
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// together makes one finding of several of one machine: an installer makes all certificates on one day,
// and a year later all end on one day. Those that are only noted stay as they are.
func together(m snapshot.Machine, certificates []machineCertificate, findings []finding.Finding, title func(n int) finding.Text) []finding.Finding {
	var out []finding.Finding
	var whole finding.Finding
	var grouped []machineCertificate
	var whys []finding.Text
	for i, f := range findings {
		if f.Severity == finding.Info {
			out = append(out, f)
			continue
		}
		grouped = append(grouped, certificates[i])
		whys = append(whys, finding.Format("%s: %s", "%s: %s", finding.Verbatim(f.Field), f.Why))
		whole.Evidence = append(whole.Evidence, certificates[i].Evidence(certificates[i].key("not-after")))
		whole.Severity = finding.Worst(cmp.Or(whole.Severity, f.Severity), f.Severity)
		whole.Since = finding.Earlier(whole.Since, f.Since)
	}
	if len(grouped) < 2 {
		return findings
	}
	whole.Subject, whole.Mechanism = m.Subject("Machine", m.Node()), v1alpha1.MechanismExpired
	whole.Title = title(len(grouped))
	whole.Why = finding.Join(". ", whys...)
	whole.Remedies = renewAll(m, grouped)
	return append([]finding.Finding{whole}, out...)
}

// renewAll renews several certificates: those of kubeadm with one command, each program that reads them
// when it starts once.
func renewAll(m snapshot.Machine, certificates []machineCertificate) finding.Remedies {
	var all finding.Remedies
	var components []string
	kubeadm := 0
	for _, c := range certificates {
		if c.use.renewed != "" {
			kubeadm++
		}
		if c.use.restart != "" && !slices.Contains(components, c.use.restart) {
			components = append(components, c.use.restart)
		}
	}
	if kubeadm > 1 {
		all.Now = append(all.Now, finding.Remedy{Text: finding.Text{EN: "renew all of kubeadm's", KO: "kubeadm의 인증서를 모두 갱신합니다"}, Command: "kubeadm certs renew all", Machine: m.Node()})
	}
	for _, c := range certificates {
		if c.use.renewed != "" && kubeadm > 1 {
			continue
		}
		if r := c.renew().Now[0]; !slices.Contains(all.Now, r) {
			all.Now = append(all.Now, r)
		}
	}
	slices.Sort(components)
	for _, component := range components {
		all.Now = append(all.Now, restartOf(m.Node(), component))
	}
	all.Later = certificates[0].renew().Later
	return all
}
