package monitors_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors"
	"github.com/maek-dev/maek/internal/snapshot"
)

// moment at which the tests' machines live.
var moment = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// hostPath is a path of a host as the sources name it.
var hostPath = regexp.MustCompile(`^/(?:proc|sys|etc|var|run|dev|usr|lib|opt)(?:/[A-Za-z0-9_.-]+)+$`)

// pathsRead are all paths of a host that the sources of monitors name, so that a new monitor is tried
// with the rest.
func pathsRead(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && hostPath.MatchString(text) {
					found[text] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for name := range found {
		out = append(out, name)
	}
	slices.Sort(out)
	if len(out) < 50 {
		t.Fatalf("only %d paths are found in the sources: %v", len(out), out)
	}
	return out
}

// names are those under which monitors look for something in a folder.
var names = []string{
	"1", "0.log", "a.yaml", "b.crt", "c.conf", "d.json", "kubelet.service", "session1", "kube-system_etcd-w1_0123", "etcd",
	"0123456789abcdef0123456789abcdef", "stat", "kubepods.slice", "100%25 \xff\x1b[31m",
}

// plant puts something at a path below a root, unless something is already there.
type plant func(t *testing.T, path string)

func file(content []byte) plant {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func pipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

func huge(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<30), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func loop(t *testing.T, path string) {
	t.Helper()
	if err := os.Symlink(filepath.Base(path), path); err != nil {
		t.Fatal(err)
	}
}

// folder holds what p plants, under every name.
func folder(p plant) plant { return within(names, p) }

// nested holds folders under every name, each of which holds what p plants.
func nested(p plant) plant {
	return folder(within([]string{"0.log", "b.crt"}, p))
}

func within(names []string, p plant) plant {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			p(t, filepath.Join(path, name))
		}
	}
}

// rubbish is bytes of no meaning, the same at each run.
func rubbish(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, size)
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return out
}

// numbers is text of which every field is one that arithmetic stumbles over.
func numbers() []byte {
	words := []string{"NaN", "-1", "99999999999999999999999", "0", "-9223372036854775808", "1e309", "+Inf", "0x", "", ":", "=", "/", "%", "(", ") Z 0", "max", "kB"}
	random := rand.New(rand.NewPCG(3, 4))
	var out strings.Builder
	for range 200 {
		for range 1 + random.IntN(12) {
			out.WriteString(words[random.IntN(len(words))])
			out.WriteString([]string{" ", "\t", ": ", "=", "-"}[random.IntN(5)])
		}
		out.WriteByte('\n')
	}
	return []byte(out.String())
}

// grow plants at all paths: where one leads through another, the longer has its way if deep, and else the
// shorter.
func grow(t *testing.T, paths []string, deep bool, p plant) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range paths {
		through := func(other string) bool { return strings.HasPrefix(other, name+"/") }
		beyond := func(other string) bool { return strings.HasPrefix(name, other+"/") }
		if deep && slices.ContainsFunc(paths, through) || !deep && slices.ContainsFunc(paths, beyond) {
			continue
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		p(t, path)
	}
	return root
}

// TestMonitorsOutliveAnything lets all monitors look at machines on which everything is wrong, while the
// clock jumps. None may break, hang, take memory without bound, or give what is not its own.
func TestMonitorsOutliveAnything(t *testing.T) {
	paths := pathsRead(t)
	tests := map[string]func(t *testing.T) string{
		"a root that is not there":            func(t *testing.T) string { return filepath.Join(t.TempDir(), "none") },
		"a root with nothing in it":           func(t *testing.T) string { return t.TempDir() },
		"a root that is a file":               func(t *testing.T) string { return grow(t, []string{"/root"}, true, file(nil)) + "/root" },
		"empty files":                         func(t *testing.T) string { return grow(t, paths, true, file(nil)) },
		"files of random bytes":               func(t *testing.T) string { return grow(t, paths, true, file(rubbish(20_000))) },
		"one line of zeros":                   func(t *testing.T) string { return grow(t, paths, true, file(make([]byte, 100_000))) },
		"files of numbers that are none":      func(t *testing.T) string { return grow(t, paths, true, file(numbers())) },
		"files of empty lines":                func(t *testing.T) string { return grow(t, paths, true, file([]byte(strings.Repeat("\n", 10_000)))) },
		"files of 1 GiB":                      func(t *testing.T) string { return grow(t, paths, true, huge) },
		"pipes instead of files":              func(t *testing.T) string { return grow(t, paths, true, pipe) },
		"links to themselves":                 func(t *testing.T) string { return grow(t, paths, true, loop) },
		"files instead of folders":            func(t *testing.T) string { return grow(t, paths, false, file(rubbish(5_000))) },
		"pipes instead of folders":            func(t *testing.T) string { return grow(t, paths, false, pipe) },
		"folders instead of files, of pipes":  func(t *testing.T) string { return grow(t, paths, true, folder(pipe)) },
		"folders of random bytes":             func(t *testing.T) string { return grow(t, paths, true, folder(file(rubbish(3_000)))) },
		"folders of numbers that are none":    func(t *testing.T) string { return grow(t, paths, true, folder(file(numbers()))) },
		"folders of folders of pipes":         func(t *testing.T) string { return grow(t, paths, true, nested(pipe)) },
		"folders of links to themselves":      func(t *testing.T) string { return grow(t, paths, true, folder(loop)) },
		"folders of files of 1 GiB":           func(t *testing.T) string { return grow(t, paths, true, folder(huge)) },
		"folders of 1 GiB files, where files": func(t *testing.T) string { return grow(t, paths, false, folder(huge)) },
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			survive(t, monitor.Host{Root: tc(t), Node: "w1", Store: &shelf{}})
		})
	}
}

// shelf keeps in memory; answer, where it is not nil, is what it says of every name first.
type shelf struct {
	answer []byte
	fail   error

	mu   sync.Mutex
	kept map[string][]byte
}

func (s *shelf) Load(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data, ok := s.kept[name]; ok {
		return data, nil
	}
	if s.fail != nil {
		return nil, s.fail
	}
	if s.answer == nil {
		return nil, fs.ErrNotExist
	}
	return s.answer, nil
}

func (s *shelf) Save(name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if s.kept == nil {
		s.kept = map[string][]byte{}
	}
	s.kept[name] = data
	return nil
}

// TestMonitorsOutliveWhatWasKept gives every monitor something else than it kept, and a full disk.
func TestMonitorsOutliveWhatWasKept(t *testing.T) {
	tests := map[string]*shelf{
		"random bytes":    {answer: rubbish(5_000)},
		"cut short":       {answer: []byte(`{"checkpoints":{"journal":"`)},
		"an object":       {answer: []byte(`{}`)},
		"a list of null":  {answer: []byte(`[null,null]`)},
		"null":            {answer: []byte(`null`)},
		"a number":        {answer: []byte(`-1`)},
		"empty":           {answer: []byte{}},
		"fields of null":  {answer: []byte(`{"checkpoints":null,"standing":{"x":null},"boot":null,"members":[null],"cluster":0}`)},
		"an absurd place": {answer: []byte(`{"checkpoints":{"journal":"{}","kernel":"-1","/var/log/messages":"{\"file\":1,\"offset\":-9}"},"standing":{"unknown":{"stands":true,"count":-1}}}`)},
		"a full disk":     {fail: syscall.ENOSPC},
		"a broken disk":   {fail: syscall.EIO},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range map[string]string{
				"/var/log/messages":                    "Nov 21 09:59:59 w1 kernel: one\nNov 21 09:59:59 w1 kubelet: two\n",
				"/proc/sys/kernel/random/boot_id":      "0f0d5a3e-3f3d-4e5c-9a55-0d3c7c0d7a10\n",
				"/proc/stat":                           "cpu 0\nbtime 1795000000\n",
				"/etc/machine-id":                      "0123456789abcdef0123456789abcdef\n",
				"/var/log/kube-controller-manager.log": "E1121 09:59:59.000000 1 a.go:1] x\n",
			} {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			last := survive(t, monitor.Host{Root: root, Node: "w1", Store: tc})
			for _, g := range last.Gaps {
				if tc.fail == nil && strings.Contains(g.Reason, "was kept") {
					t.Errorf("%s does not begin anew: %s", g.Monitor, g.Reason)
				}
			}
			for _, key := range []snapshot.EvidenceKey{"boot/id", snapshot.KeyOf("log", "source", "/var/log/messages", "lines-lost")} {
				if !slices.ContainsFunc(last.Evidence, func(e snapshot.MachineEvidence) bool { return e.Key == key }) {
					t.Errorf("%s is not read any more", key)
				}
			}
		})
	}
}

// mostTaken bounds what all monitors together may allocate in all their looks.
const mostTaken = 1 << 30

// survive lets all monitors look several times and returns the last report.
func survive(t *testing.T, host monitor.Host) snapshot.MachineReport {
	t.Helper()
	var mu sync.Mutex
	now := moment
	host.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	all := monitors.All(host)
	runner := monitor.NewRunner(monitor.Identity{Machine: "w1", Node: "w1"}, all, host.Now, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var report snapshot.MachineReport
	for _, jump := range []time.Duration{0, -24 * time.Hour, 10 * 365 * 24 * time.Hour, time.Nanosecond} {
		mu.Lock()
		now = now.Add(jump)
		mu.Unlock()
		report = runner.Once(t.Context())
		for _, s := range runner.States() {
			if s.Stuck || s.Read.IsZero() {
				t.Fatalf("monitor %s hangs", s.Monitor)
			}
		}
		sound(t, report)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > mostTaken {
		t.Errorf("monitors allocated %d MiB", taken>>20)
	}
	return report
}

// sound holds what must be true of every report.
func sound(t *testing.T, report snapshot.MachineReport) {
	t.Helper()
	for _, g := range report.Gaps {
		switch {
		case strings.Contains(g.Reason, " broke: "), strings.Contains(g.Reason, "is not among its own"), strings.Contains(g.Reason, "it hangs"), strings.Contains(g.Reason, "it took too long"):
			t.Errorf("%s: %s", g.Monitor, g.Reason)
		case !utf8.ValidString(g.Reason), strings.Contains(g.Reason, "%!"), strings.Contains(g.Reason, "\x1b"), len(strings.Fields(g.Reason)) < 3:
			t.Errorf("%s does not speak to people: %q", g.Monitor, g.Reason)
		}
	}
	for _, e := range report.Evidence {
		if e.Value == "NaN" || strings.HasSuffix(e.Value, "Inf") {
			t.Errorf("%s is %s", e.Key, e.Value)
		}
		if strings.Contains(string(e.Key), "\x1b") || !utf8.ValidString(string(e.Key)) {
			t.Errorf("key %q holds what is no text", e.Key)
		}
	}
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var back snapshot.MachineReport
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatalf("the report cannot be read back: %v", err)
	}
	if len(data) > 4<<20 {
		t.Errorf("the report has %d KiB", len(data)>>10)
	}
}

// TestMonitorsOutliveMasses has a machine with far more of everything than one has.
func TestMonitorsOutliveMasses(t *testing.T) {
	const many, mounts = 300, 20_000
	root := t.TempDir()
	for _, dir := range []string{"/etc/kubernetes/manifests", "/etc/kubernetes/pki", "/etc/cni/net.d", "/etc/systemd/system", "/etc/node-problem-detector/config"} {
		path := filepath.Join(root, dir)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range many {
			name := fmt.Sprintf("%d.%s", i, []string{"yaml", "crt", "conf", "json"}[i%4])
			if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range many {
		if err := os.MkdirAll(filepath.Join(root, "var/log/pods", fmt.Sprintf("kube-system_etcd-%d_0123/etcd", i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var table strings.Builder
	for i := range mounts {
		fmt.Fprintf(&table, "%d 1 8:%d / /mnt/%d rw,relatime shared:1 - ext4 /dev/sd%d rw\n", i+1, i, i, i)
	}
	if err := os.MkdirAll(filepath.Join(root, "proc/1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/1/mountinfo"), []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	survive(t, monitor.Host{Root: root, Node: "w1", Store: &shelf{}})
}
