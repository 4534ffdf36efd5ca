package textbook

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// TestALivenessFileIsRemoved plays the pod whose liveness probe is "cat /tmp/healthy".
func TestALivenessFileIsRemoved(t *testing.T) {
	t.Parallel()
	b := play(t, "liveness")
	b.wait("pod/healthy-file", "--for=condition=Ready")
	s := b.watch("healthy-file")

	b.in("exec", "healthy-file", "--", "rm", "/tmp/healthy")

	const message = `: "cat: can't open '/tmp/healthy': No such file or directory"`
	s.steps(
		"healthy-file: liveness probe of app failed 1/3"+message,
		"healthy-file: liveness probe of app failed 2/3"+message,
		"healthy-file: liveness probe of app failed 3/3"+message,
		"healthy-file: container app is killed: its liveness probe failed",
		"healthy-file: container app was restarted (restart 1)",
	)
	if got := b.in("get", "pod", "healthy-file", "--output=jsonpath={.status.containerStatuses[0].restartCount}"); got != "1" {
		t.Errorf("the kubelet counts %s restarts, want 1", got)
	}
	page, code := b.says("probe", "healthy-file")
	if code != wrong {
		t.Errorf("exit code %d of a container that was just killed, want %d", code, wrong)
	}
	b.holds(page,
		"Pod textbook-liveness/healthy-file", "1 restart", "with exit code 137", "✗ liveness: command cat /tmp/healthy",
		"restarted after 3 failures in a row: 10 to 15 s after it stops answering", "failed 3 times since", message[2:], "killed for it once",
		"exec: a success", "the kubelet ends the container and starts it again in the same pod",
	)
	// What happened, in order, is also in the history of the whole cluster.
	history, _ := b.says("--events")
	b.holds(history, "Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory", "Container app failed liveness probe, will be restarted")
}

// TestOneOfTwoWebServersIsNotReady plays two web servers behind a Service of type LoadBalancer, one of which loses the file
// that makes it answer.
func TestOneOfTwoWebServersIsNotReady(t *testing.T) {
	t.Parallel()
	b := play(t, "readiness")
	b.wait("pod", "--selector=app=web", "--for=condition=Ready")
	b.wait("pod/caller", "--for=condition=Ready")
	pods := strings.Fields(b.in("get", "pods", "--selector=app=web", "--output=jsonpath={.items[*].metadata.name}"))
	if len(pods) != 2 {
		t.Fatalf("pods %v, want two", pods)
	}
	ill, well := pods[0], pods[1]
	b.eventually("both servers are called", func() bool { return slices.Equal(callees(b), slices.Sorted(slices.Values(pods))) })
	s := b.watch("rc/web")

	b.in("exec", ill, "--", "rm", "/www/ok")

	s.steps(
		ill+`: readiness probe of web failed 1/3: "HTTP probe failed with statuscode: 500"`,
		ill+`: readiness probe of web failed 2/3: "HTTP probe failed with statuscode: 500"`,
		ill+`: readiness probe of web failed 3/3: "HTTP probe failed with statuscode: 500"`,
	)
	// The kubelet tells of the failure and of what follows by different ways.
	s.together(ill+": the pod is not Ready", ill+": out of Service web; ready endpoints left: 1 ("+well+")")
	row := strings.Fields(b.in("get", "pod", ill, "--no-headers"))
	if len(row) < 4 || !slices.Equal(row[1:4], []string{"0/1", "Running", "0"}) {
		t.Errorf("kubectl get pod says %q, want 0/1 Running and no restart", row)
	}
	b.eventually("the sick server is ready in no EndpointSlice", func() bool {
		const ready = `--output=jsonpath={.items[*].endpoints[?(@.conditions.ready==true)].targetRef.name}`
		return b.in("get", "endpointslices", "--selector=kubernetes.io/service-name=web", ready) == well
	})
	b.eventually("all calls go to the other server", func() bool { return slices.Equal(callees(b), []string{well}) })

	page, code := b.says("probe", "rc/web")
	if code != wrong {
		t.Errorf("exit code %d of a pod that is not ready, want %d", code, wrong)
	}
	b.holds(page,
		"Pod textbook-readiness/"+ill, "Running, not ready", "✗ readiness: GET http://", ":8080/cgi-bin/ready", "out of its Services after 3 failures in a row",
		`"HTTP probe failed with statuscode: 500"`, "port-forward: a failure (status 500)",
		"it is out of Service web (80 -> 8080) now; 1 other endpoint is ready ("+well+")",
		"Pod textbook-readiness/"+well, "out of Service web (80 -> 8080), whose last ready endpoint it is",
	)
	b.eventually("the diagnosis explains it", func() bool {
		page, _ = b.says()
		return strings.Contains(page, "ReadinessProbeFailing") && !strings.Contains(page, "so far")
	})
	b.holds(page, "ReplicationController textbook-readiness/web: readiness probe of container web fails on 1 of 2 pods",
		"HTTP probe failed with statuscode: 500", "Service textbook-readiness/web: 1 of 2 endpoints left")

	b.in("exec", ill, "--", "touch", "/www/ok")

	s.steps(ill+": the pod is Ready", ill+": back in Service web")
	b.eventually("both servers are called again", func() bool { return slices.Equal(callees(b), slices.Sorted(slices.Values(pods))) })
}

// callees are the servers that 20 calls of the Service's address on port 80 reach.
func callees(b *bench) []string {
	b.t.Helper()
	const call = `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do wget -q -O - "http://$ADDRESS/" || echo nobody; done`
	address := b.in("get", "service", "web", "--output=jsonpath={.spec.clusterIP}")
	said := strings.Fields(b.in("exec", "caller", "--", "env", "ADDRESS="+address, "sh", "-c", call))
	slices.Sort(said)
	return slices.Compact(said)
}

// TestASlowStarterIsKilledUntilItIsPatched plays a program that serves 40 s after its start, behind a liveness probe
// that gives up after 15.
func TestASlowStarterIsKilledUntilItIsPatched(t *testing.T) {
	t.Parallel()
	b := play(t, "slow")
	b.wait("pod", "--selector=app=slow", "--for=jsonpath={.status.containerStatuses[0].restartCount}=2")

	page, code := b.says("probe", "deploy/slow")
	if code != wrong {
		t.Errorf("exit code %d of a container in a loop, want %d", code, wrong)
	}
	b.holds(page,
		"a started container gets 10 to 15 s to come up; there is no startup probe that gives it more",
		"as long as this probe leaves a container that never answers (10 to 15 s, and its time to end)",
		"it will be killed again each time unless it answers within 15 s of its start",
		"probe deployment/slow -n textbook-slow --audit -o patch",
	)
	audit, _ := b.says("probe", "deploy/slow", "--audit")
	b.holds(audit, "[ProbeKillsStart]", "a container that never answers is killed 0 + 2 x 5 = 10 s to 0 + 3 x 5 = 15 s after its start")

	patch, _ := b.says("probe", "deploy/slow", "--audit", "--output", "patch")
	b.shell(patch)

	b.in("rollout", "status", "deployment/slow", "--timeout", within.String())
	// Three successes of the liveness probe lie further apart than the time in which it used to kill.
	var d document
	b.eventually("it stays up", func() bool {
		d = b.probes("deploy/slow")
		return len(d.Pods) == 1 && len(d.Pods[0].Containers[0].Probes) == 2 && d.Pods[0].Containers[0].Probes[1].Counts.Metrics["successful"] >= 4
	})
	if d.Verdict != "Passing" || !d.Pods[0].Ready || d.Pods[0].Containers[0].Restarts != 0 {
		t.Errorf("patched it is %+v, want it passing, ready and never restarted", d)
	}
	if audit, code := b.says("probe", "deploy/slow", "--audit"); code != 0 {
		t.Errorf("the patched deployment is still complained of:\n%s", audit)
	}
}

// shell runs a script.
func (b *bench) shell(script string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), within)
	defer cancel()
	cmd := b.command(ctx, "sh", "-e")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("sh: %v\n%s\ngiven:\n%s", err, out, script)
	}
}
