package workload

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEveryClueIsFoundInTheWordsOfItsPrograms(t *testing.T) {
	for line, want := range map[string]string{
		"exec /app/server: exec format error":                                                                                         "the program is built for another processor",
		"dial tcp: lookup db on 10.96.0.10:53: server misbehaving":                                                                    "a name cannot be looked up: no name server gives a usable answer",
		"dial tcp: lookup db.shop.svc on 10.96.0.10:53: read udp 10.244.1.5:42->10.96.0.10:53: i/o timeout":                           "a name cannot be looked up: no name server gives a usable answer",
		"Error: getaddrinfo EAI_AGAIN db":                                                                                             "a name cannot be looked up: no name server gives a usable answer",
		"psql: error: could not translate host name \"db\" to address: Temporary failure in name resolution":                          "a name cannot be looked up: no name server gives a usable answer",
		"dial tcp: lookup db on 10.96.0.10:53: no such host":                                                                          "a name does not exist",
		"Error: getaddrinfo ENOTFOUND db":                                                                                             "a name does not exist",
		"nginx: [emerg] host not found in upstream \"api\" in /etc/nginx/nginx.conf:9":                                                "a name does not exist",
		"Caused by: java.net.UnknownHostException: db":                                                                                "a name cannot be resolved",
		"wget: bad address 'api:8080'":                                                                                                "a name cannot be resolved",
		"curl: (6) Could not resolve host: api":                                                                                       "a name cannot be resolved",
		"pods is forbidden: User \"system:serviceaccount:shop:api\" cannot list resource \"pods\" in API group \"\" in the namespace": "its ServiceAccount lacks a right that it needs",
		"no matches for kind \"Widget\" in version \"ex.io/v1\"":                                                                      "the API server does not serve a kind that it works with: its CustomResourceDefinition is missing, or of another version",
		"E0302 leaderelection lost":                                                                                                   "it could not renew its Lease in time, and ends so that no two lead",
		"Get \"https://api\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid":                   "a certificate is out of date",
		"x509: certificate signed by unknown authority":                                                                               "it does not trust the certificate of whom it calls",
		"http: server gave HTTP response to HTTPS client":                                                                             "one side speaks TLS and the other does not",
		"FATAL:  password authentication failed for user \"api\"":                                                                     "its credentials are refused",
		"ERROR 1045 (28000): Access denied for user 'api'@'10.0.0.1'":                                                                 "its credentials are refused",
		"FATAL:  the database system is starting up":                                                                                  "whom it calls is up and does not serve it",
		"ERROR: relation \"carts\" does not exist":                                                                                    "the database lacks what it expects there: a migration has not run, or it is the wrong database",
		"INFO: Waiting for changelog lock....":                                                                                        "a lock is held by somebody else, or was left by one who died",
		"write /data/wal: no space left on device":                                                                                    "a file system that it writes to is full",
		"mkdir /data: read-only file system":                                                                                          "it writes to a read-only file system: a volume is mounted so, or readOnlyRootFilesystem is set",
		"accept tcp [::]:80: accept4: too many open files":                                                                            "it has reached its limit of open files",
		"java.lang.OutOfMemoryError: Java heap space":                                                                                 "it ran out of memory by its own account: its heap is bounded tighter than the container, or the limit is too small",
		"runtime: failed to create new OS thread (have 5 already; errno=11): Resource temporarily unavailable":                        "it can start no more threads or processes",
		"listen tcp :8080: bind: address already in use":                                                                              "the port that it listens on is taken, by another container of the pod or, with hostNetwork, by one on the node",
		"dial tcp 10.96.4.4:5432: connect: connection refused":                                                                        "whom it calls refuses connections",
		"Error: connect ECONNREFUSED 10.96.4.4:5432":                                                                                  "whom it calls refuses connections",
		"dial tcp 10.96.4.4:5432: i/o timeout":                                                                                        "whom it calls does not answer",
		"ERROR 2003 (HY000): Can't connect to MySQL server on 'db:3306'":                                                              "it cannot connect to whom it calls",
		"GET http://api/health: 503 Service Unavailable":                                                                              "whom it calls answers with an error",
		"[FATAL] plugin/loop: Loop (127.0.0.1:1 -> :53) detected for zone \".\"":                                                      "its questions come back to itself: the upstream resolver of the node points at the cluster's DNS",
		"/etc/coredns/Corefile:4 - Error during parsing: Unknown directive 'forwad'":                                                  "its configuration has an error",
		"Error: unknown flag: --no-such-flag":                                                                                         "it does not know a flag or argument that it is given",
		"flag provided but not defined: -x":                                                                                           "it does not know a flag or argument that it is given",
		"KeyError: 'DATABASE_URL'":                                                                                                    "an environment variable that it needs is not set",
		"sh: DB_HOST: parameter not set":                                                                                              "an environment variable that it needs is not set",
		"missing required environment variable API_KEY":                                                                               "an environment variable that it needs is not set",
		"yaml: line 3: mapping values are not allowed in this context":                                                                "it cannot read its configuration",
		"open /data/x: permission denied":                                                                                             "it may not do that as the user that it runs as (securityContext, fsGroup, the owner of files)",
		"/bin/sh: 1: serve: not found":                                                                                                "a program that it calls is not in the image",
		"open /etc/app/app.yaml: no such file or directory":                                                                           "a file that it needs is not there",
		"panic: runtime error: invalid memory address or nil pointer dereference":                                                     "a fault in the program",
		"panic: assignment to entry in nil map":                                                                                       "",
		"ValueError: invalid literal for int() with base 10: 'x'":                                                                     "",
	} {
		t.Run(line, func(t *testing.T) {
			r := readLog("listening on :8080\n" + line + "\nshutting down\n")
			if r.clue == nil {
				t.Fatalf("no clue in %q", line)
			}
			if r.line != line || r.clue.means.EN != want {
				t.Errorf("line %q means %q, want %q", r.line, r.clue.means.EN, want)
			}
			if (r.clue.means.EN == "") != (r.clue.means.KO == "") {
				t.Errorf("the meaning of %q lacks a language", line)
			}
		})
	}
}

func TestOrdinaryLinesCarryNoClue(t *testing.T) {
	for _, line := range []string{
		"listening on :8080", "level=info msg=\"request done\" status=200", "GET /healthz 404", "connected to db:5432", "0 errors", "shutting down",
	} {
		if r := readLog(line); r.clue != nil {
			t.Errorf("%q is taken for %q", line, r.clue.text)
		}
	}
}

func TestHostileLogs(t *testing.T) {
	huge := strings.Repeat("가", 20000) + " dial tcp 10.0.0.1:80: connect: connection refused " + strings.Repeat("x", 20000)
	for name, log := range map[string]string{
		"a huge line":       huge,
		"broken bytes":      "\xff\xfe panic: \xc3\x28 no such host",
		"nothing but bytes": strings.Repeat("\xff", 3000),
		"colours":           "\x1b[31mError: unknown flag: --x\x1b[0m",
	} {
		t.Run(name, func(t *testing.T) {
			r := readLog(log)
			if !utf8.ValidString(r.line) || len(r.line) > shownBytes+2*len("…") {
				t.Errorf("%d bytes, valid: %v", len(r.line), utf8.ValidString(r.line))
			}
		})
	}
	if r := readLog(huge); !strings.Contains(r.line, "connection refused") {
		t.Errorf("the clue of a huge line is cut off: %.80q", r.line)
	}
}
