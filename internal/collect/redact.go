package collect

import (
	"regexp"
	"strings"
)

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
	// Tokens that are known by their beginning: AWS access key ids, GitHub, GitLab, Slack, Google
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html,
	// https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats).
	{regexp.MustCompile(`\b(?:A[KS]IA[0-9A-Z]{16}|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AIza[\w-]{30,})`), Blot},
	// Passwords in addresses of MySQL drivers: user:password@tcp(host).
	{regexp.MustCompile(`([\w.-]+):[^\s:@/]+@((?:tcp|unix)\()`), "$1:" + Blot + "@$2"},
	// Passwords in addresses: scheme://user:password@host (RFC 3986, 3.2.1).
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*):[^\s/@]+@`), "$1:" + Blot + "@"},
	// name=value, and "name":"value" as in JSON, quoted once more or not, where the name speaks of a credential.
	{regexp.MustCompile(`(?i)([\w.-]*(?:` + credentialWords + `)[\w.-]*["']?\s*=\s*["']?)[^\s"',;&]+`), "${1}" + Blot},
	{regexp.MustCompile(`(?i)("[\w.-]*(?:` + credentialWords + `)[\w.-]*\\*"\s*:\s*\\*")[^"]*[^"\\]`), "${1}" + Blot},
	{regexp.MustCompile(`(?i)(\b[\w.-]*(?:password|passwd)\s*:\s*)\S+`), "${1}" + Blot},
	// pwd=value of ODBC and ADO.NET connection strings; a shell's PWD=/path is a folder.
	{regexp.MustCompile(`(?i)(\bpwd\s*=\s*)[^\s"',;&/][^\s"',;&]*`), "${1}" + Blot},
}

const credentialWords = `password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential`

// suspicious finds a text worth the trouble of redactions; most are not.
var suspicious = regexp.MustCompile(`(?i)bearer|basic|eyj|://|key|pwd|a[ks]ia|gh[opsur]_|github_|glpat|xox|aiza|@tcp|@unix|` + credentialWords)

// namedValue is a value behind a colon whose name speaks of a credential. Such a line may as well be a
// sentence ("token: expired"), so only a value that looks drawn by lot is taken out.
var namedValue = regexp.MustCompile(`(?i)([\w.-]*(?:secret|token|api[_-]?key|access[_-]?key|credential)[\w.-]*["']?\s*:\s*["']?)([a-z0-9+/_=]{20,})`)

func redactNamed(found string) string {
	m := namedValue.FindStringSubmatch(found)
	if !strings.ContainsAny(m[2], "0123456789") || m[2] == strings.ToLower(m[2]) || m[2] == strings.ToUpper(m[2]) {
		return found
	}
	return m[1] + Blot
}

// Redact blots out of a text what looks like a credential. Redacting twice changes nothing.
func Redact(text string) string {
	if !suspicious.MatchString(text) {
		return text
	}
	for _, r := range redactions {
		text = r.pattern.ReplaceAllString(text, r.with)
	}
	return namedValue.ReplaceAllStringFunc(text, redactNamed)
}
