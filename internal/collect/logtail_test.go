package collect

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/maek-dev/maek/internal/secret"
)

func TestLogTail(t *testing.T) {
	many := strings.Repeat("line\n", LogLines+5)
	tests := map[string]struct {
		log  string
		want string
	}{
		"an empty log":                      {"", ""},
		"newlines alone":                    {"\n\n\r\n", ""},
		"one line":                          {"panic: no database\n", "panic: no database"},
		"a last line without newline":       {"a\nb", "a\nb"},
		"empty lines between":               {"a\n\nb\n", "a\n\nb"},
		"more lines than an answer has":     {many, strings.TrimSpace(strings.Repeat("line\n", LogLines))},
		"one line longer than an answer":    {"first\n" + strings.Repeat("x", 3*LogBytes) + "end\n", strings.Repeat("x", LogBytes-3) + "end"},
		"text that is no UTF-8":             {"caf\xe9\n", "caf\uFFFD"},
		"a tail cut inside a character":     {strings.Repeat("가", LogBytes), strings.Repeat("가", LogBytes/3)},
		"a credential":                      {"password=hunter2\n", "password=" + secret.Blot},
		"a credential on a line cut before": {many + "token=abc\n", strings.Repeat("line\n", LogLines-1) + "token=" + secret.Blot},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := LogTail(strings.NewReader(tc.log))
			if err != nil || got != tc.want {
				t.Errorf("got %d bytes %.80q, error %v; want %d bytes %.80q", len(got), got, err, len(tc.want), tc.want)
			}
		})
	}
}

func TestALogThatBreaksOffKeepsWhatCame(t *testing.T) {
	broken := errors.New("connection lost")
	got, err := LogTail(io.MultiReader(strings.NewReader("one\ntwo\n"), iotest.ErrReader(broken)))
	if got != "one\ntwo" || !errors.Is(err, broken) {
		t.Errorf("%q, error %v", got, err)
	}
}

func TestRedact(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
	tests := map[string]struct {
		text string
		want string
	}{
		"a pair":                         {"--db-password=hunter2 --port=80", "--db-password=" + secret.Blot + " --port=80"},
		"a pair in capitals and quotes":  {`DB_PASSWORD="hunter2"`, `DB_PASSWORD="` + secret.Blot + `"`},
		"JSON":                           {`{"user":"app","apiKey":"abc","clientSecret":"d e f"}`, `{"user":"app","apiKey":"` + secret.Blot + `","clientSecret":"` + secret.Blot + `"}`},
		"YAML":                           {"password: hunter2", "password: " + secret.Blot},
		"an address":                     {"dial postgres://app:hunter2@db:5432/shop", "dial postgres://app:" + secret.Blot + "@db:5432/shop"},
		"the path of a key":              {"--service-account-key-file=/etc/kubernetes/pki/sa.pub --cluster-signing-key-file=/etc/kubernetes/pki/ca.key", "--service-account-key-file=/etc/kubernetes/pki/sa.pub --cluster-signing-key-file=/etc/kubernetes/pki/ca.key"},
		"a choice":                       {"--enable-bootstrap-token-auth=true", "--enable-bootstrap-token-auth=true"},
		"a header":                       {"Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer " + secret.Blot},
		"a token":                        {"using " + jwt, "using " + secret.Blot},
		"a query":                        {"GET /?access_token=abc&page=2", "GET /?access_token=" + secret.Blot + "&page=2"},
		"a private key":                  {"-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nnext", secret.Blot + "\nnext"},
		"a private key that is cut off":  {"-----BEGIN PRIVATE KEY-----\nabc", secret.Blot},
		"words that say what went wrong": {"invalid token: expired", "invalid token: expired"},
		"an authentication that failed":  {`password authentication failed for user "app"`, `password authentication failed for user "app"`},
		"a Secret's name":                {`secret "db-credentials" not found`, `secret "db-credentials" not found`},
		"an address without password":    {"Get https://registry.example.com:5000/v2/", "Get https://registry.example.com:5000/v2/"},
		"a time and an image":            {"2026-03-02T02:20:00Z pulling shop/api:1.2@sha256:abc", "2026-03-02T02:20:00Z pulling shop/api:1.2@sha256:abc"},
		"basic, the word":                {"basic authentication required", "basic " + "authentication required"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := secret.Redact(tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if got := secret.Redact(secret.Redact(tc.text)); got != secret.Redact(tc.text) {
				t.Errorf("redacted twice %q", got)
			}
		})
	}
}

func FuzzLogTail(f *testing.F) {
	f.Add("one\ntwo password=x\n")
	f.Add("\xff\xfe\n\n\r")
	f.Fuzz(func(t *testing.T, log string) {
		got, err := LogTail(strings.NewReader(log))
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(got) || len(got) > LogBytes || strings.Count(got, "\n") >= LogLines {
			t.Errorf("%q", got)
		}
		again, err := LogTail(strings.NewReader(got))
		if err != nil || again != got {
			t.Errorf("the tail of %q is %q", got, again)
		}
	})
}
