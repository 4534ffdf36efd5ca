// Journal measures the reader of systemd journals: whole, by unit, from the end, and on its way from a
// cursor, beside journalctl where that is installed.
//
// A journal to measure is made with:
//
//	go run ./bench/journal -generate 2000000 | /lib/systemd/systemd-journal-remote -o /tmp/big/MACHINE-ID/system.journal -
//	go run ./bench/journal -folder /tmp/big
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs/journal"
)

func main() {
	generated := flag.Int("generate", 0, "write so many entries in the journal export format, and measure nothing")
	folder := flag.String("folder", "", "a folder of journals, as /var/log/journal is")
	flag.Parse()
	var err error
	if *generated > 0 {
		err = generate(os.Stdout, *generated)
	} else {
		err = measure(context.Background(), os.Stdout, *folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "journal:", err)
		os.Exit(1)
	}
}

// generate writes entries as a busy worker has them: a kubelet and a runtime, the kernel, and much
// that nobody asks for.
func generate(to io.Writer, n int) error {
	w := bufio.NewWriterSize(to, 1<<20)
	writers := []struct{ unit, identifier, transport, text string }{
		{"kubelet.service", "kubelet", "stdout", `I1121 10:00:00.000000    4711 reconciler_common.go:251] "operationExecutor.VerifyControllerAttachedVolume started for volume \"kube-api-access-7xk2m\"" pod="shop/front-%d"`},
		{"containerd.service", "containerd", "stdout", `time="2026-11-21T10:00:00.000000000Z" level=info msg="StopPodSandbox for \"%064d\" returns successfully"`},
		{"", "kernel", "kernel", "cni0: port 4(veth%d) entered disabled state"},
		{"ssh.service", "sshd", "syslog", "Connection closed by authenticating user root 192.0.2.7 port %d [preauth]"},
		{"cron.service", "CRON", "syslog", "(root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 %d)"},
		{"app.service", "app", "stdout", `{"level":"info","message":"request served","duration":"12ms","number":%d}`},
	}
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	for i := range n {
		e := writers[i%len(writers)]
		at := start + int64(i)*500_000
		fmt.Fprintf(w, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=52c2361af1f84d469a234f244a8f536b\n_MACHINE_ID=e997dce732bb44d5975f51dd72c44276\n_HOSTNAME=w1\n", at, at-start)
		fmt.Fprintf(w, "PRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=%s\n_TRANSPORT=%s\n_PID=%d\n_UID=0\n_GID=0\n_SOURCE_REALTIME_TIMESTAMP=%d\n", e.identifier, e.transport, 100+i%len(writers), at-7)
		if e.unit != "" {
			fmt.Fprintf(w, "_SYSTEMD_UNIT=%s\n_SYSTEMD_SLICE=system.slice\n_SYSTEMD_CGROUP=/system.slice/%s\n_COMM=%s\n_EXE=/usr/bin/%s\n_CMDLINE=/usr/bin/%s\n", e.unit, e.unit, e.identifier, e.identifier, e.identifier)
		}
		fmt.Fprintf(w, "MESSAGE="+e.text+"\n\n", i)
	}
	return w.Flush()
}

// measure reads a folder in the ways in which a monitor reads it.
func measure(ctx context.Context, w io.Writer, folder string) error {
	root, err := os.MkdirTemp("", "journal")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(root) }()
	if err := os.MkdirAll(filepath.Join(root, "var/log/journal"), 0o755); err != nil {
		return err
	}
	size, err := borrow(folder, filepath.Join(root, "var/log/journal"))
	if err != nil {
		return err
	}
	j := journal.Of(monitor.Host{Root: root, Now: time.Now})
	fmt.Fprintf(w, "journal of %.0f MB\n", float64(size)/1e6)
	queries := []struct {
		name  string
		whole bool
		query journal.Query
		most  int
		as    []string
	}{
		{"all entries, all fields", true, journal.Query{}, 0, []string{"-o", "export"}},
		{"all entries, message and unit", true, journal.Query{Fields: []string{"MESSAGE", "_SYSTEMD_UNIT", "PRIORITY"}}, 0, []string{"-o", "json", "--output-fields=MESSAGE,_SYSTEMD_UNIT,PRIORITY"}},
		{"one unit", false, journal.Query{Any: journal.Unit("kubelet.service"), Fields: []string{"MESSAGE", "PRIORITY"}}, 0, []string{"-o", "json", "--output-fields=MESSAGE,PRIORITY", "-u", "kubelet.service"}},
		{"the last 50 of a unit", false, journal.Query{Any: journal.Unit("kubelet.service"), Fields: []string{"MESSAGE"}, Backward: true}, 50, []string{"-o", "json", "--output-fields=MESSAGE", "-u", "kubelet.service", "-n", "50"}},
		{"a unit that is not there", false, journal.Query{Any: journal.Unit("none.service"), Backward: true}, 50, []string{"-o", "json", "-u", "none.service", "-n", "50"}},
	}
	for _, q := range queries {
		begun, cpu := time.Now(), used(syscall.RUSAGE_SELF)
		entries, text, err := read(j, q.query, q.most)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		took := time.Since(begun)
		fmt.Fprintf(w, "%-32s %9d entries %7.1f MB of values in %8v (CPU %v, %.0f entries/s", q.name, entries, float64(text)/1e6, took.Round(time.Microsecond), (used(syscall.RUSAGE_SELF) - cpu).Round(time.Millisecond), float64(entries)/took.Seconds())
		if q.whole {
			fmt.Fprintf(w, ", %.0f MB/s of journal", float64(size)/1e6/took.Seconds())
		}
		fmt.Fprintf(w, "), largest resident set %d MiB\n", resident(syscall.RUSAGE_SELF))
		beside(ctx, w, folder, q.as)
	}
	return nil
}

func read(j *journal.Journal, q journal.Query, most int) (entries int, text int64, err error) {
	r, err := j.Read(q)
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	for e, ok := r.Next(); ok && (most == 0 || entries < most); e, ok = r.Next() {
		entries++
		for _, f := range e.Fields() {
			text += int64(len(f.Value))
		}
	}
	return entries, text, r.Err()
}

// beside lets journalctl do the same, where it is installed.
func beside(ctx context.Context, w io.Writer, folder string, args []string) {
	begun, cpu := time.Now(), used(syscall.RUSAGE_CHILDREN)
	cmd := exec.CommandContext(ctx, "journalctl", append([]string{"-D", folder, "--no-pager", "-q"}, args...)...)
	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		return
	}
	fmt.Fprintf(w, "%-32s %61s in %8v (CPU %v), largest resident set of a child %d MiB\n", "  journalctl", "", time.Since(begun).Round(time.Microsecond), (used(syscall.RUSAGE_CHILDREN) - cpu).Round(time.Millisecond), resident(syscall.RUSAGE_CHILDREN))
}

// borrow links the files of a folder of journals to where a host has them.
func borrow(from, to string) (int64, error) {
	var size int64
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		into := filepath.Join(to, filepath.Base(filepath.Dir(path)))
		if err := os.MkdirAll(into, 0o755); err != nil {
			return err
		}
		return os.Link(path, filepath.Join(into, d.Name()))
	})
	return size, err
}

func used(who int) time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(who, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func resident(who int) int64 {
	var r syscall.Rusage
	if syscall.Getrusage(who, &r) != nil {
		return 0
	}
	return r.Maxrss / 1024
}
