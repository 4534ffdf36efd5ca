package cli

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maek-dev/maek/internal/cli/exit"
)

// TestWrongUsage holds every way in which a command line can be wrong to one sentence that says
// what is wrong, where, and what to write instead.
func TestWrongUsage(t *testing.T) {
	dir := t.TempDir()
	config := kubeconfig(t, "https://127.0.0.1:1")
	malformed := file(t, "malformed", "clusters: [")
	noCurrent := file(t, "no-current", strings.Replace(read(t, config), "current-context: prod\n", "", 1))
	noCertificate := file(t, "no-certificate", strings.Replace(read(t, config), "{token: secret}", "{client-certificate: /nowhere.crt, client-key: /nowhere.key}", 1))
	notObjects := file(t, "notes.yaml", "just: text\n")
	notReport := file(t, "list.json", `{"kind": "List"}`)
	noCode := file(t, "no-code.yaml", "ignore: [{reason: x}]\n")
	noDate := file(t, "no-date.yaml", "ignore: [{code: NodeGone, until: soon}]\n")
	empty := t.TempDir()
	readable := []string{"--kubeconfig", serve(t, cluster(map[string]bool{"cp1": true}))}

	cases := map[string]struct {
		args []string
		want string
	}{
		"a flag that does not exist": {
			[]string{"--frobnicate"}, "unknown flag: --frobnicate; see kubectl maek --help",
		},
		"a flag without its value": {
			[]string{"dump", "-o"}, "flag needs an argument: 'o' in -o; see kubectl maek dump --help",
		},
		"a command that does not exist": {
			[]string{"frobnicate"}, `there is no command "frobnicate"; see kubectl maek --help`,
		},
		"a command that is misspelt": {
			[]string{"diagnos"}, `there is no command "diagnos"; write kubectl maek diagnose`,
		},
		"an argument too many": {
			[]string{"version", "please"}, `kubectl maek version takes no argument "please"; leave it out, or see kubectl maek version --help`,
		},
		"an output that does not exist": {
			[]string{"-o", "xml"}, `-o "xml" is no output; write one of: terminal, json, yaml, markdown, html, junit, sarif`,
		},
		"an output that rules do not have": {
			[]string{"rules", "-o", "xml"}, `-o "xml" is no output; write one of: table, json, markdown`,
		},
		"a severity that does not exist": {
			[]string{"--fail-on", "never"}, `--fail-on "never" is no severity; write one of: critical, warning, info`,
		},
		"a part of a machine that does not exist": {
			[]string{"machine", "--show", "gpu"}, `--show "gpu" is no part; write one of: units, etcd, overlay, disks, network, storage, reboots, load, pods, certificates, cluster, logs, all`,
		},
		"values of a machine as a report": {
			[]string{"machine", "--show", "units", "-o", "html"}, `-o "html" does not print values; with --show write one of: terminal, json, yaml`,
		},
		"two things of a machine at once": {
			[]string{"machine", "--show", "units", "--follow"}, "--show, --follow and --repair do different things; write one of them",
		},
		"an argument that is no source of logs": {
			[]string{"machine", "kubelet"}, `machine takes no argument "kubelet"; after --follow there can be names of log sources`,
		},
		"a unit that is not repaired": {
			[]string{"machine", "--repair", "sshd"}, `--repair restarts no "sshd"; write one of: kubelet, containerd, docker, crio, flanneld, kube-proxy`,
		},
		"a unit that a restart would harm": {
			[]string{"machine", "--repair", "etcd.service", "--yes"}, "--repair does not restart etcd: while another member is down that costs the quorum, and space, time or a peer, which it may lack, do not come of it; see machine --show etcd",
		},
		"hashes of etcd while logs are followed": {
			[]string{"machine", "--etcd-hash", "--follow"}, "--etcd-hash is for the diagnosis and for --show etcd; leave out --follow and --repair",
		},
		"consent to nothing": {
			[]string{"machine", "--yes"}, "--yes and --force are for --repair; write --repair UNIT, or leave them out",
		},
		"a language that does not exist": {
			[]string{"--lang", "fr"}, `--lang "fr" is no language; write en or ko`,
		},
		"a selector that is none": {
			[]string{"-l", "app in front"}, `-l "app in front" is no label selector: unable to parse requirement: found 'front' expected: '('; write one such as app=front,tier!=cache`,
		},
		"nothing to compare with": {
			[]string{"--fail-on-new"}, "--fail-on-new needs something to compare with; add --diff OLD.json",
		},
		"an earlier report that does not exist": {
			[]string{"--diff", "/nowhere.json"}, "--diff: open /nowhere.json: no such file or directory; write the path of a report that -o json printed",
		},
		"an earlier report that is none": {
			[]string{"--diff", notReport}, "--diff " + notReport + ` is no report of this program: its kind is "List"; write the path of one that -o json printed`,
		},
		"a file of requests to ignore that is none": {
			[]string{"--ignore", notObjects}, "--ignore " + notObjects + `: unknown field "just"; write a list ` + "`ignore:`" +
				` of entries with code, subject (kind, namespace, name), until and reason`,
		},
		"a request to ignore without a code": {
			[]string{"--ignore", noCode}, "--ignore " + noCode + ": entry 1 has no code; write the code of a finding, such as KubeletStopped",
		},
		"a request to ignore until no date": {
			[]string{"--ignore", noDate}, "--ignore " + noDate + `: entry 1: until="soon" is no date; write it as 2026-12-31 or 2026-12-31T18:00:00Z`,
		},
		"watching a bundle": {
			[]string{"--watch", "--from", dir}, "--watch has nothing to wait for in a bundle; leave out --watch or --from",
		},
		"watching as a page": {
			[]string{"--watch", "-o", "html"}, "--watch prints to a terminal or as json, not as html; leave out -o or write -o json",
		},
		"watching without a pause": {
			[]string{"--watch", "--interval", "1s"}, "--interval 1s is too short; write at least 5s",
		},
		"no time": {
			[]string{"--timeout", "0s"}, "--timeout 0s leaves no time at all; write a duration above zero, such as --timeout 30s",
		},
		"a time that is none": {
			[]string{"--timeout", "soon"}, `invalid argument "soon" for "--timeout" flag: time: invalid duration "soon"; see kubectl maek --help`,
		},
		"a request timeout that is none": {
			[]string{"--kubeconfig", config, "--request-timeout", "soon"}, `--request-timeout "soon" is no duration; write one such as 10s or 2m`,
		},
		"no kubeconfig anywhere": {
			nil, "there is no cluster to look at: neither --kubeconfig nor $KUBECONFIG nor ~/.kube/config names one; write kubectl maek --kubeconfig FILE, or see kubectl maek demo",
		},
		"a kubeconfig that does not exist": {
			[]string{"--kubeconfig", "/nowhere/config"}, "the kubeconfig /nowhere/config does not exist; write --kubeconfig with the path of one that does",
		},
		"a kubeconfig that is a folder": {
			[]string{"--kubeconfig", dir}, "the kubeconfig cannot be used: error loading config file \"" + dir + "\": read " + dir + ": is a directory; mend it, or write --kubeconfig with the path of another",
		},
		"a kubeconfig that is malformed": {
			[]string{"--kubeconfig", malformed}, "the kubeconfig cannot be used: error loading config file \"" + malformed +
				"\": yaml: line 1: did not find expected node content; mend it, or write --kubeconfig with the path of another",
		},
		"a context that does not exist": {
			[]string{"--kubeconfig", config, "--context", "pord"}, `there is no context "pord" in the kubeconfig; write one of: prod, staging`,
		},
		"no current context": {
			[]string{"--kubeconfig", noCurrent}, "the kubeconfig has no current context; write --context NAME with one of: prod, staging",
		},
		"a context without its cluster": {
			[]string{"--kubeconfig", config, "--context", "staging"},
			`context "staging" of the kubeconfig leads to cluster "gone", which it does not describe; mend it, or write --context with another`,
		},
		"credentials that do not exist": {
			[]string{"--kubeconfig", noCertificate},
			`context "prod" of the kubeconfig cannot be used: invalid configuration: [unable to read client-cert /nowhere.crt for kim due to open /nowhere.crt: no such file or directory, ` +
				`unable to read client-key /nowhere.key for kim due to open /nowhere.key: no such file or directory]; mend it, or write --context with another`,
		},
		"a namespace that does not exist": {
			append([]string{"-n", "shpo"}, readable...), `there is no namespace "shpo" in prod; write -n with one that exists, or leave it out`,
		},
		"a bundle that does not exist": {
			[]string{"--from", "/nowhere.tar.gz"}, "reading bundle /nowhere.tar.gz: no such file or directory",
		},
		"a bundle that is empty": {
			[]string{"--from", empty}, "reading bundle " + empty + ": there is nothing in it; ",
		},
		"a bundle without any object": {
			[]string{"--from", notObjects}, "reading bundle " + notObjects + ": there is no Kubernetes object in it",
		},
		"an archive that climbs out": {
			[]string{"--from", climbing(t)}, "..",
		},
		"explain without a code": {
			[]string{"explain"}, "explain takes one code; write kubectl maek explain CODE, with a code that kubectl maek rules lists",
		},
		"explain with part of a code": {
			[]string{"explain", "node"}, `there is no rule "node"; write one of: NodeGone`,
		},
		"explain with a code that does not exist": {
			[]string{"explain", "Frobnicated"}, `there is no rule "Frobnicated"; write a code that kubectl maek rules lists`,
		},
		"dump without a path": {
			[]string{"dump"}, "dump does not know where to write; write -o with a path, such as -o incident.tar.gz",
		},
		"dump into a format that it does not have": {
			[]string{"dump", "-o", "x.zip"}, "-o x.zip: a bundle is no .zip file; write a name that ends in .tar.gz, .tgz or .tar, or that of a folder",
		},
		"dump into a folder that does not exist": {
			append([]string{"dump", "-o", filepath.Join(dir, "none", "x.tar.gz")}, readable...), "there is no folder " + filepath.Join(dir, "none") + "; make it, or write -o with another path",
		},
		"install into a name that is none": {
			[]string{"install", "-n", "Maek!"}, `-n "Maek!" is no name for a namespace: `,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := run(t, t.Context(), tc.args...)
			if got.code != exit.Usage {
				t.Errorf("exit code %d, want %d; %s", got.code, exit.Usage, got.out)
			}
			if got.out != "" {
				t.Errorf("standard output: %s", got.out)
			}
			if strings.Count(got.errOut, "\n") != 1 || !strings.HasPrefix(got.errOut, "kubectl maek: ") {
				t.Errorf("not one line that names the program: %q", got.errOut)
			}
			sentence := strings.TrimSuffix(strings.TrimPrefix(got.errOut, "kubectl maek: "), "\n")
			// A sentence that goes on with words of a library's is compared as far as it is ours.
			if whole := !strings.HasSuffix(tc.want, " ") && tc.want != ".." && !strings.HasSuffix(tc.want, "object in it"); whole && sentence != tc.want {
				t.Errorf("sentence:\n%s\nwant:\n%s", sentence, tc.want)
			}
			if !strings.Contains(sentence, tc.want) {
				t.Errorf("sentence:\n%s\nwant in it:\n%s", sentence, tc.want)
			}
		})
	}
}

func TestAnErrorCarriesNoControlCharacters(t *testing.T) {
	got := run(t, t.Context(), "--from", filepath.Join(t.TempDir(), "\x1b]0;owned\a\x1b[31m.tar.gz"))
	if got.code != exit.Usage || strings.ContainsAny(got.errOut, "\x1b\a") || !strings.Contains(got.errOut, "<U+001B>]0;owned<U+0007>") {
		t.Errorf("exit code %d, %q", got.code, got.errOut)
	}
}

func TestABundleThatIsCutOffIsReadAsFarAsItGoes(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.tar.gz")
	config := serve(t, cluster(map[string]bool{"cp1": true, "w1": false}))
	if got := run(t, t.Context(), "dump", "--kubeconfig", config, "-o", whole); got.code != exit.OK {
		t.Fatalf("dump: exit code %d, %s", got.code, got.errOut)
	}
	data := read(t, whole)
	cut := file(t, "cut.tar.gz", data[:len(data)*2/3])
	got := run(t, t.Context(), "--from", cut)
	if got.code == exit.OK || got.code == exit.Failed {
		t.Errorf("exit code %d", got.code)
	}
	if !strings.Contains(got.out+got.errOut, "cut off") {
		t.Errorf("nothing says that the archive is cut off:\n%s%s", got.out, got.errOut)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// climbing writes an archive with a name that leads out of it, and returns its path.
func climbing(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "climbing.tar.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	a := tar.NewWriter(z)
	content := "apiVersion: v1\nkind: Node\nmetadata: {name: x}\n"
	if err := a.WriteHeader(&tar.Header{Name: "../../etc/node.yaml", Mode: 0o600, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []interface{ Close() error }{a, z, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}
