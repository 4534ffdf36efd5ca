// Package secret takes out of a text what looks like a credential, before the text leaves the program
// that read it: an agent, or the command line.
package secret

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Blot stands where Redact took something out.
const Blot = "[redacted]"

// redaction takes one shape of credential out of a text.
type redaction struct {
	// hints are words in lower case, one of which stands in every text that pattern matches: looking
	// for them is cheap, and most texts hold none.
	hints   []string
	pattern pattern
	// with is what a match becomes, in the form of Regexp.Expand.
	with string
}

// pattern is compiled when the first text has one of its hints: most programs never meet most of them,
// and together they take a megabyte.
type pattern func() *regexp.Regexp

func compiled(text string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

const (
	// credentialWords are in the names of what holds a credential.
	credentialWords = `password|passwd|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key` +
		`|account[_-]?key|auth[_-]?key|encryption[_-]?key|signing[_-]?key|master[_-]?key|shared[_-]?access[_-]?signature`
	// name of a setting that holds a credential.
	name = `[\w.-]*(?:` + credentialWords + `)[\w.-]*`
	// shortName ends in pass: DB_PASS, db.pass, dbPass. Words such as bypass are none.
	shortName = `(?:(?:\b|\b[\w.-]*[_.-])pass|(?-i:\b[\w.-]*[a-z0-9]Pass))`
	// pemKey is the label of a private key (RFC 7468), and of OpenPGP's.
	pemKey = `[A-Z ]*PRIVATE KEY(?: BLOCK)?-----`
)

var (
	pemHint         = []string{"private key"}
	addressHint     = []string{"://"}
	credentialHints = []string{"passw", "passphrase", "secret", "token", "credential", "key", "signature"}
)

// redactions are tried in order on every text. They prefer to miss a secret of an unusual shape
// over hiding the words that say what went wrong: "token: expired" stays, "token=abc" does not.
var redactions = []redaction{
	// PEM blocks of private keys; the end may be cut off, or the beginning.
	{pemHint, compiled(`(?s)-----BEGIN ` + pemKey + `.*?(?:-----END ` + pemKey + `|$)`), Blot},
	{pemHint, compiled(`(?:[A-Za-z0-9+/=]+(?:\s|\\[nr])+)*-----END ` + pemKey), Blot},
	// The same in base64, as kubeconfigs hold them: PRIVATE, RSA, EC, ENCRYPTED and OPENSSH PRIVATE KEY.
	{[]string{"ls0tls1crudjti"}, compiled(`LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJVkFURS|BFQyBQUklWQVRF|BFTkNSWVBURUQg|BPUEVOU1NIIFBSSVZBVEUg)[A-Za-z0-9+/=]*`), Blot},
	// JSON Web Tokens, service account tokens among them (RFC 7519: three base64url parts, the first a JSON object).
	{[]string{"eyj"}, compiled(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`), Blot},
	// HTTP credentials (RFC 6750, RFC 7617), in headers or in dumps of them, and cookies (RFC 6265).
	{[]string{"authorization"}, compiled(`(?i)(\b(?:proxy-)?authorization\\*["']?\s*[:=]\s*["'\[\\]*(?:basic|bearer|token|apikey|digest|negotiate|ntlm|aws4-hmac-sha256)\s+)[^\s"'\\\[\],][^\s"'\\\]]*`), "${1}" + Blot},
	{[]string{"bearer"}, compiled(`(?i)(\bbearer\s+)[A-Za-z0-9+/._~-]{20,}=*`), "${1}" + Blot},
	{[]string{"cookie"}, compiled(`(?i)(\b(?:set-)?cookie["']?\s*:\s*["'\[\\]*)[^\s"'\\;,=\]]+=[^\s"'\\;,\]]+(?:;\s*[^\s"'\\;,\]]+)*`), "${1}" + Blot},
	{[]string{"x-"}, compiled(`(?i)(\bx-[\w-]*(?:token|key|secret|auth)[\w-]*["']?\s*:\s*)\[[^\[\]]+\]`), "${1}" + Blot},
	{[]string{"x-"}, compiled(`(?i)(\bx-[\w-]*(?:token|key|secret|auth)[\w-]*["']?\s*:\s*["'\\]*)[^\s"'\\\[\],][^\s"'\\,]*`), "${1}" + Blot},
	// Tokens that are known by their beginning: AWS access key ids, GitHub, GitLab, Slack, Google, Docker,
	// npm, Vault, Stripe
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html,
	// https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats,
	// https://docs.gitlab.com/security/tokens/#token-prefixes, https://developer.hashicorp.com/vault/docs/concepts/tokens).
	{
		[]string{"akia", "asia", "gh", "gl", "xox", "aiza", "ya29", "dckr_", "npm_", "hv", "_live_"},
		compiled(`\b(?:A[KS]IA[0-9A-Z]{16}|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|rt|ft|cbt|ptt|soat|agent)-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|dckr_pat_[\w-]{20,}|npm_[A-Za-z0-9]{30,}|hv[sbr]\.[\w-]{20,}|[sr]k_live_[A-Za-z0-9]{16,})`), Blot,
	},
	// Addresses that are a secret as a whole: whoever knows one may post to it.
	{[]string{"hooks.slack.com/", "/api/webhooks/"}, compiled(`(?i)(hooks\.slack\.com/|discord(?:app)?\.com/api/webhooks/)[\w/-]+`), "${1}" + Blot},
	// Bootstrap tokens (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/).
	{[]string{"token"}, compiled(`(?i)(token["']?\s*[:=]?\s*["']?)[a-z0-9]{6}\.[a-z0-9]{16}\b`), "${1}" + Blot},
	// Passwords in addresses of MySQL drivers: user:password@tcp(host).
	{[]string{"@tcp", "@unix"}, compiled(`([\w.-]+):[^\s:@/]+@((?:tcp|unix)\()`), "$1:" + Blot + "@$2"},
	// Passwords in addresses, scheme://user:password@host (RFC 3986, 3.2.1), also where "@" or "/" in
	// one was not escaped; and users whose names look like tokens.
	{addressHint, compiled(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@\[]*):[^\s/@"']*[^\d\s/@"'][^\s/@"']*/[^\s@"']*@`), "$1:" + Blot + "@"},
	{addressHint, compiled(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*):[^\s/"']+@`), "$1:" + Blot + "@"},
	{addressHint, compiled(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*):[^\s/@]+@`), "$1:" + Blot + "@"},
	{addressHint, compiled(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s:/@"'?#]{16,}@`), "${1}" + Blot + "@"},
	// Signatures and keys in queries, whose names are short.
	{[]string{"?", "&", `\u0026`}, compiled(`(?i)((?:[?&]|\\u0026)(?:key|auth|code|sig|signature|x-amz-signature|x-goog-signature|pass|pw|sid|jwt)=)[^\s"'&#]+`), "${1}" + Blot},
	// name="value", where the name speaks of a credential; assigned finds those without quotes.
	{credentialHints, compiled(`(?i)(` + name + `["']?\s*=\s*\\*")[^"\\\n]+`), "${1}" + Blot},
	{credentialHints, compiled(`(?i)(` + name + `["']?\s*=\s*')[^'\n]+`), "${1}" + Blot},
	{[]string{"pass"}, compiled(`(?i)(` + shortName + `["']?\s*=\s*\\*["']?)[^\s"',;&\\]+`), "${1}" + Blot},
	// "name":"value" as in JSON, quoted once more or not.
	{credentialHints, compiled(`(?i)("` + name + `"\s*:\s*")(?:[^"\\]|\\.)+"`), "${1}" + Blot + `"`},
	{credentialHints, compiled(`(?i)("` + name + `\\"\s*:\s*\\")(?:[^"\\]|\\\\+"|\\[^"\\])+`), "${1}" + Blot},
	{credentialHints, compiled(`(?i)("` + name + `\\*"\s*:\s*\\*")[^"]*[^"\\]`), "${1}" + Blot},
	{[]string{"pass", "pwd"}, compiled(`(?i)("(?:` + shortName + `|pwd)\\*"\s*:\s*\\*")[^"\\]+`), "${1}" + Blot},
	{[]string{"passw"}, compiled(`(?i)("[\w.-]*(?:password|passwd)\\*"\s*:\s*)\d+`), "${1}" + Blot},
	// name: value as in YAML.
	{[]string{"passw"}, compiled(`(?i)(\b[\w.-]*(?:password|passwd)\s*:\s*)(?:\\?"[^"\n]*"|'[^'\n]*'|\S)\S*`), "${1}" + Blot},
	// pwd=value of ODBC and ADO.NET connection strings; a shell's PWD=/path is a folder.
	{[]string{"pwd"}, compiled(`(?i)(\bpwd\s*=\s*)[^\s"',;&/][^\s"',;&]*`), "${1}" + Blot},
	// Command lines within a text: --token abc1, curl -u user:password, mysql -ppassword, redis-cli -a password.
	{[]string{"--"}, compiled(`(?i)(\s--[\w-]*(?:password|passwd|passphrase|secret|token|api-?key|access-?key)\s+["']?)[^\s"'\[-][^\s"'\]]*\d[^\s"'\]]*`), "${1}" + Blot},
	{[]string{"curl"}, compiled(`(\bcurl\b[^\n|;&]*?\s(?:-u|--user)[\s=]?["']?[^\s:"']+:)[^\s"'\[\]][^\s"'\]]*`), "${1}" + Blot},
	{[]string{"mysql", "mariadb", "sshpass"}, compiled(`(\b(?:mysql|mariadb|sshpass)[\w-]*\s[^\n|;&]*?-p["']?)[^\s"'\[\]][^\s"'\]]*`), "${1}" + Blot},
	{[]string{"redis-cli", "valkey-cli"}, compiled(`(\b(?:redis|valkey)-cli\s[^\n|;&]*?(?:-a|--pass)[\s=]["']?)[^\s"'\[\]][^\s"'\]]*`), "${1}" + Blot},
}

// assigned is name=value where the name speaks of a credential, and plainValue one that holds none: a
// choice, or the path of a file, as in the flags of a control plane.
var (
	assigned   = compiled(`(?i)(` + name + `["']?\s*=\s*["']?)[^\s"',;&\\]+`)
	plainValue = compiled(`(?i)(?:=(?:true|false)|(?:file|path|dir)=/[\w./-]+)$`)
)

func redactAssigned(found string) string {
	if plainValue().MatchString(found) {
		return found
	}
	return assigned().ReplaceAllString(found, "${1}"+Blot)
}

// namedValue is a value behind a colon whose name speaks of a credential. Such a line may as well be a
// sentence ("token: expired"), so only a value that looks drawn by lot is taken out.
var namedValue = compiled(`(?i)([\w.-]*(?:secret|token|api[_-]?key|access[_-]?key|credential)[\w.-]*["']?\s*:\s*["']?)([a-z0-9+/_=]{20,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})`)

func redactNamed(found string) string {
	m := namedValue().FindStringSubmatch(found)
	if !drawn(m[2]) {
		return found
	}
	return m[1] + Blot
}

// fewDigits is how many digits a long word may have, in letters of one case, and still be somebody's
// choice: database_credentials_2024.
const fewDigits = 4

// drawn tells whether a word looks drawn by lot.
func drawn(word string) bool {
	digits := 0
	for _, c := range word {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	mixed := word != strings.ToLower(word) && word != strings.ToUpper(word)
	return digits > fewDigits || digits > 0 && mixed
}

// Redact blots out of a text what looks like a credential. Redacting twice changes nothing.
func Redact(text string) string {
	if !mayHide(text) {
		return text
	}
	lower := strings.ToLower(text)
	for _, r := range redactions {
		if hinted(lower, r.hints) {
			text = r.pattern().ReplaceAllString(text, r.with)
		}
	}
	if hinted(lower, credentialHints) {
		text = assigned().ReplaceAllStringFunc(text, redactAssigned)
		text = namedValue().ReplaceAllStringFunc(text, redactNamed)
	}
	return text
}

func hinted(lower string, hints []string) bool {
	return slices.ContainsFunc(hints, func(hint string) bool { return strings.Contains(lower, hint) })
}

// mayHide tells whether a text has letters enough to name a credential: numbers and times have not, and
// they are most of what machines say.
func mayHide(text string) bool {
	letters := 0
	for i := range len(text) {
		if c := text[i] | 0x20; c >= 'a' && c <= 'z' || text[i] >= 0x80 {
			letters++
		}
	}
	return letters > 1
}
