package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/cli/exit"
)

func TestDumpAndReplay(t *testing.T) {
	config := serve(t, cluster(map[string]bool{"cp1": true, "w1": true}, "cart-1"))
	path := filepath.Join(t.TempDir(), "incident.tar.gz")
	dumped := run(t, t.Context(), "dump", "--kubeconfig", config, "-o", path)
	if dumped.code != exit.OK || dumped.errOut != "" {
		t.Fatalf("dump: exit code %d, %s", dumped.code, dumped.errOut)
	}
	golden(t, "dump.txt", strings.ReplaceAll(dumped.out, path, "PATH"))

	again := run(t, t.Context(), "dump", "--kubeconfig", config, "-o", path)
	if want := "kubectl maek: " + path + " is there already; write -o with a path that is not\n"; again.code != exit.Usage || again.errOut != want {
		t.Errorf("a second dump to one path: exit code %d, %q, want %q", again.code, again.errOut, want)
	}

	fresh := run(t, t.Context(), "--kubeconfig", config, "-o", "json")
	replayed := run(t, t.Context(), "--from", path, "-o", "json")
	if replayed.code != exit.Incidents {
		t.Errorf("replay: exit code %d, want %d; %s", replayed.code, exit.Incidents, replayed.errOut)
	}
	if diff := cmp.Diff(incidents(t, fresh.out), incidents(t, replayed.out)); diff != "" {
		t.Errorf("the replayed incidents differ (-live +replayed):\n%s", diff)
	}
	if !strings.Contains(replayed.out, "no such table: orders") {
		t.Errorf("the replay lacks the log line that was asked for:\n%s", replayed.out)
	}
	golden(t, "replay.txt", strings.ReplaceAll(run(t, t.Context(), "--from", path).out, path, "PATH"))
}

// incidents cuts out of a JSON report what must be the same for one snapshot.
func incidents(t *testing.T, report string) string {
	t.Helper()
	_, after, ok := strings.Cut(report, `"incidents": [`)
	if !ok {
		t.Fatalf("no incidents in:\n%s", report)
	}
	list, _, _ := strings.Cut(after, `"findings": [`)
	return list
}

func TestADumpThatCannotBeWrittenIsAFailureOfItsOwn(t *testing.T) {
	config := serve(t, cluster(map[string]bool{"cp1": true}))
	// A file where a folder is needed holds up root too.
	path := filepath.Join(file(t, "file", "mine"), "x.tar.gz")
	got := run(t, t.Context(), "dump", "--kubeconfig", config, "-o", path)
	if got.code != exit.Failed || !strings.HasPrefix(got.errOut, "kubectl maek: writing bundle "+path+": ") {
		t.Errorf("exit code %d, %q", got.code, got.errOut)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got = run(t, t.Context(), "dump", "--kubeconfig", config, "-o", full)
	if got.code != exit.Usage || !strings.Contains(got.errOut, "something is there already") {
		t.Errorf("a folder that is not empty: exit code %d, %q", got.code, got.errOut)
	}
}
