package expect

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/probe"
)

// judgeRecords looks for the records that must be among the answers.
func judgeRecords(spec *v1alpha1.CheckSpec, expected *v1alpha1.CheckExpectation, records []string) *finding {
	if spec.DNS == nil {
		return nil
	}
	for _, want := range expected.Records {
		if !slices.ContainsFunc(records, func(got string) bool { return sameRecord(spec.DNS.Type, got, want) }) {
			return bad(v1alpha1.ReasonRecordMissing, "%s is not among the records: %s", quote(want), cut(oneLine(strings.Join(records, ", ")), maxQuote))
		}
	}
	return nil
}

// sameRecord compares the data of two records as they are meant: addresses by value, names without regard
// to case and the dot at their end, texts with or without the quotes of a zone file.
func sameRecord(kind v1alpha1.DNSRecordType, got, want string) bool {
	got, want = strings.TrimSpace(got), strings.TrimSpace(want)
	if kind == "TXT" {
		return got == want || unquoted(got) == unquoted(want)
	}
	if a, err := netip.ParseAddr(got); err == nil {
		b, err := netip.ParseAddr(want)
		return err == nil && a == b
	}
	return slices.EqualFunc(strings.Fields(got), strings.Fields(want), func(a, b string) bool {
		return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
	})
}

// unquoted joins the parts of a TXT record, which is what its readers do.
func unquoted(text string) string {
	if !strings.HasPrefix(text, `"`) {
		return text
	}
	var joined strings.Builder
	for rest := text; rest != ""; {
		part, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return text
		}
		plain, err := strconv.Unquote(part)
		if err != nil {
			return text
		}
		joined.WriteString(plain)
		rest = strings.TrimLeft(rest[len(part):], " ")
	}
	return joined.String()
}

// judgeDaysLeft looks at how long a chain of certificates still holds.
func judgeDaysLeft(expected *v1alpha1.CheckExpectation, o probe.Outcome) *finding {
	least := int(expected.CertificateDaysLeft)
	if least == 0 {
		return nil
	}
	first := o.EndsFirst
	if first == nil && len(o.Certificates) > 0 {
		first = new(slices.MinFunc(o.Certificates, func(a, b probe.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }))
	}
	if first == nil {
		return bad(v1alpha1.ReasonCertificateInvalid, "the answer came without TLS, so that there is no certificate, expected one for %d more days", least)
	}
	switch left := first.DaysLeft(); {
	case left < 0:
		return bad(v1alpha1.ReasonCertificateExpiring, "the certificate of %s ended at %s, expected at least %d days more",
			quote(first.Subject), first.NotAfter.UTC().Format("2006-01-02T15:04Z"), least)
	case left < least:
		return bad(v1alpha1.ReasonCertificateExpiring, "the certificate of %s ends at %s, in %d days, expected at least %d",
			quote(first.Subject), first.NotAfter.UTC().Format("2006-01-02T15:04Z"), left, least)
	default:
		return nil
	}
}
