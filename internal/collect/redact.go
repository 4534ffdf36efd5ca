package collect

import "regexp"

// Blot stands where Redact took something out.
const Blot = "[redacted]"

// redactions are tried in order on every text. They prefer to miss a secret of an unusual shape
// over hiding the words that say what went wrong: "token: expired" stays, "token=abc" does not.
var redactions = []struct {
	pattern *regexp.Regexp
	with    string
}{
	// PEM blocks of private keys; the end may be cut off.
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`), Blot},
	// JSON Web Tokens, service account tokens among them (RFC 7519: three base64url parts, the first a JSON object).
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`), Blot},
	// HTTP credentials (RFC 6750, RFC 7617).
	{regexp.MustCompile(`(?i)(\bauthorization["']?\s*[:=]\s*["']?(?:basic|bearer)\s+)[A-Za-z0-9+/._~-]+=*`), "${1}" + Blot},
	{regexp.MustCompile(`(?i)(\bbearer\s+)[A-Za-z0-9+/._~-]{20,}=*`), "${1}" + Blot},
	// Passwords in addresses: scheme://user:password@host (RFC 3986, 3.2.1).
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*):[^\s/@]+@`), "$1:" + Blot + "@"},
	// name=value, and "name":"value" as in JSON, where the name speaks of a credential.
	{regexp.MustCompile(`(?i)([\w.-]*(?:` + credentialWords + `)[\w.-]*["']?\s*=\s*["']?)[^\s"',;&]+`), "${1}" + Blot},
	{regexp.MustCompile(`(?i)("[\w.-]*(?:` + credentialWords + `)[\w.-]*"\s*:\s*")[^"]+`), "${1}" + Blot},
	{regexp.MustCompile(`(?i)(\b[\w.-]*(?:password|passwd)\s*:\s*)\S+`), "${1}" + Blot},
}

const credentialWords = `password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential`

// suspicious finds a text worth the trouble of redactions; most are not.
var suspicious = regexp.MustCompile(`(?i)bearer|basic|eyj|://|key|` + credentialWords)

// Redact blots out of a text what looks like a credential. Redacting twice changes nothing.
func Redact(text string) string {
	if !suspicious.MatchString(text) {
		return text
	}
	for _, r := range redactions {
		text = r.pattern.ReplaceAllString(text, r.with)
	}
	return text
}
