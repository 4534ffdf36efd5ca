package controlplane

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// certificateOnMachine are the causes, found in the file on a control-plane machine, of what clients see
// of the API server's certificate.
func certificateOnMachine() []rule.Cause {
	return []rule.Cause{
		{Code: "MachineCertificateExpired", Via: rule.Cluster, Holds: ofServingCertificate},
		{Code: "MachineCertificateExpiring", Via: rule.Cluster, Holds: ofServingCertificate},
		{Code: "CertificateNotReloaded", Via: rule.Cluster, Holds: ofServingCertificate},
	}
}

// ofServingCertificate tells whether the effect is one of a certificate's end, and the cause is about the
// file of the API server's serving certificate, alone or among others.
func ofServingCertificate(_ *snapshot.Snapshot, effect, cause finding.Finding) bool {
	return effect.Mechanism == v1alpha1.MechanismExpired && slices.ContainsFunc(cause.Evidence, func(e finding.Evidence) bool {
		return strings.Contains(e.Path, "/pki/apiserver.crt ")
	})
}
