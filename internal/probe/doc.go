// Package probe asks a container, or anything else that listens, the way the kubelet does, and
// says what the kubelet makes of the answer.
//
// A probe goes through three steps, each usable alone:
//
//   - [Resolve] turns what a pod's spec says into a [Target]: a pure function, in which names of
//     ports, headers and variables of commands are settled by the kubelet's rules.
//   - [Prober.Probe] asks a target once, and gives an [Outcome] with two verdicts: the kubelet's,
//     word for word, and a strict one. Where the two differ, the outcome says why: these are the
//     probes that stay green over something broken, or that the kubelet does not count at all.
//   - [Worker.Step] is the kubelet's loop around its attempts as a state machine without
//     goroutines and without a clock: thresholds, delays, gating by the startup probe, restarts.
//
// [Timing] is the arithmetic of that loop, for those who explain a spec or judge its thresholds, and
// [Simulate] plays a container with its probes and a program through the loop itself: what is
// recommended for a program is held against that.
//
// [DNS] and [TLS] are targets that the kubelet has not, for checks.
//
// The reference is the kubelet of Kubernetes 1.36 (pkg/probe and pkg/kubelet/prober). The module in
// test/kubelet holds this package against those very packages.
package probe
